"""bench/tensors.py: .safetensors files, which all measured programs read and write."""
import json
import struct

import numpy as np

DTYPES = {np.dtype("f4"): "F32", np.dtype("i4"): "I32", np.dtype("i8"): "I64"}


def write(path, tensors):
    header, blob = {}, b""
    for name, array in tensors.items():
        data = np.ascontiguousarray(array)
        header[name] = {"dtype": DTYPES[data.dtype], "shape": list(np.shape(array)),
                        "data_offsets": [len(blob), len(blob) + data.nbytes]}
        blob += data.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    types = {word: dtype for dtype, word in DTYPES.items()}
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__" and entry["dtype"] in types:
            begin, end = (8 + size + at for at in entry["data_offsets"])
            array = np.frombuffer(data[begin:end], types[entry["dtype"]])
            tensors[name] = array.reshape(entry["shape"])
    return tensors
