"""Files for cli_test.py, made and read with the standard library alone: arrays, ONNX models and node
tests, an encoder."""
import ast
import json
import struct
import zipfile


# --- arrays

def npy(descr, shape, code, *values):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
            + struct.pack(f"<{len(values)}{code}", *values))


def floats(*values, shape=None):
    return npy("<f4", shape or (len(values),), "f", *values)


def save_npz(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name + ".npy", data)


def load_npz(path):
    """{name: (dtype, shape, list of floats or None)}"""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            size = struct.unpack("<H", data[8:10])[0]
            header = ast.literal_eval(data[10:10 + size].decode())
            body = data[10 + size:]
            values = struct.unpack(f"<{len(body) // 4}f", body) if header["descr"] == "<f4" else None
            arrays[name.removesuffix(".npy")] = (header["descr"], header["shape"], values)
    return arrays


# --- ONNX files, as far as needed: protobuf by hand

def pb(number, value):
    """One field: a varint, or bytes (text) with their length."""
    if isinstance(value, int):
        return bytes([number << 3, *varint(value)])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, *varint(len(data))]) + data


def varint(value):
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value


FLOAT, INT64, STRING = 1, 7, 8  # TensorProto.DataType


def onnx_model(op, inputs, outputs, label=""):
    """One node; inputs and outputs are {name: (type, shape)}, an open size is its name, or ""."""
    def info(name, dtype, shape):
        dims = b"".join(pb(1, pb(2 if isinstance(size, str) else 1, size)) for size in shape)
        return pb(1, name) + pb(2, pb(1, pb(1, dtype) + pb(2, dims)))
    node = b"".join(pb(1, name) for name in inputs) + b"".join(pb(2, name) for name in outputs)
    graph = pb(1, node + pb(3, label) + pb(4, op)) + pb(2, "test")
    graph += b"".join(pb(11, info(name, *type_)) for name, type_ in inputs.items())
    graph += b"".join(pb(12, info(name, *type_)) for name, type_ in outputs.items())
    return pb(1, 8) + pb(7, graph) + pb(8, pb(2, 17))


def onnx_tensor(name, dtype, shape, code, *values):
    return (b"".join(pb(1, size) for size in shape) + pb(2, dtype) + pb(8, name)
            + pb(9, struct.pack(f"<{len(values)}{code}", *values)))


def write_case(folder, op, inputs, outputs, tolerance=None):
    """inputs and outputs are {name: (type, shape, struct code, values...)}"""
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    declared = ({name: tensor[:2] for name, tensor in side.items()} for side in (inputs, outputs))
    folder.joinpath("model.onnx").write_bytes(onnx_model(op, *declared))
    for kind, side in (("input", inputs), ("output", outputs)):
        for i, (name, tensor) in enumerate(side.items()):
            data.joinpath(f"{kind}_{i}.pb").write_bytes(onnx_tensor(name, *tensor))
    if tolerance:
        folder.joinpath("rtol_atol.txt").write_text(tolerance)


# --- an encoder

def write_encoder(folder):
    """BERT 4 wide, without layers: the vector of a text is the mean of its words' vectors."""
    rows = [[0, 0, 0, 1]] * 4 + [[9, 1, -9, -1], [-9, -1, 9, 1], [0, 9, 0, -9]]  # a, b, [MASK]
    tensors = {"embeddings.word_embeddings.weight": rows,
               "embeddings.position_embeddings.weight": [[0] * 4] * 8,
               "embeddings.token_type_embeddings.weight": [[0] * 4],
               "embeddings.LayerNorm.weight": [1] * 4, "embeddings.LayerNorm.bias": [0] * 4}
    header, data = {}, b""
    for name, values in tensors.items():
        shape = [len(values), *([len(values[0])] if isinstance(values[0], list) else [])]
        flat = sum(values, []) if len(shape) == 2 else values
        header[name] = {"dtype": "F32", "shape": shape,
                        "data_offsets": [len(data), len(data) + 4 * len(flat)]}
        data += struct.pack(f"<{len(flat)}f", *flat)
    text = json.dumps(header).encode()
    folder.mkdir()
    folder.joinpath("model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    folder.joinpath("vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n[MASK]\n")
