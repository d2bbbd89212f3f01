#!/usr/bin/env python3
"""Writes ONNX's node tests, as the onnx package has them, into the cache, and prints the folder.

One folder per case: model.onnx, test_data_set_N/input_K.pb and output_K.pb, rtol_atol.txt, as
`rlx conformance` reads them. A folder that is there already is whole. Run it by
`scripts/fetch.py oracle`.
"""
import os
import pathlib
import shutil
import tempfile

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_node_model_tests

CACHE = pathlib.Path(os.environ.get("RLX_CACHE") or pathlib.Path.home() / ".cache" / "rlx").resolve()
ENCODE = {"sequence_type": numpy_helper.from_list, "map_type": numpy_helper.from_dict,
          "optional_type": numpy_helper.from_optional}


def encode(value, info):
    if not isinstance(value, onnx.TensorProto):
        value = ENCODE.get(info.type.WhichOneof("value"), numpy_helper.from_array)(value, info.name)
    return value.SerializeToString()


def write_case(folder, case):
    folder.mkdir()
    folder.joinpath("model.onnx").write_bytes(case.model.SerializeToString())
    folder.joinpath("rtol_atol.txt").write_text(f"{case.rtol} {case.atol}\n")
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for kind, values, infos in (("input", inputs, case.model.graph.input),
                                    ("output", outputs, case.model.graph.output)):
            for k, (value, info) in enumerate(zip(values, infos)):
                data.joinpath(f"{kind}_{k}.pb").write_bytes(encode(value, info))


final = CACHE / f"onnx-node-tests-{onnx.__version__}"
if not final.is_dir():
    CACHE.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=".onnx-node-tests-", dir=CACHE))
    for name, case in {case.name: case for case in reversed(load_node_model_tests())}.items():
        write_case(aside / name, case)  # of two with one name the first
    aside.chmod(0o755)
    try:
        aside.rename(final)
    except OSError:  # another process was first, and its folder is as good
        shutil.rmtree(aside)
print(final)
