#!/usr/bin/env python3
"""bench/models.py RLX MLX_BY_HAND [--rounds N] [--seconds S] [--only GLOB]

rlx beside onnxruntime and beside MLX called by hand (mlx_by_hand.cpp), on real models and on small
graphs: the same inputs, in turns, with one thread and with two, least times, since others on the
machine only add to them. The results are compared with each other. The models come from
scripts/fetch.py; one that cannot be had is left out, and so is onnxruntime, which is said.

Prints a table. Ends with 1 if results differ or rlx takes over 1.1 times as long as MLX by hand."""
import argparse
import fnmatch
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import helper, numpy_helper

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

LIMIT = 1.1
DTYPES = {np.dtype("f4"): "F32", np.dtype("i4"): "I32", np.dtype("i8"): "I64"}
ROOT = pathlib.Path(__file__).resolve().parent.parent
random = np.random.default_rng(1)


def normal(*shape):
    return random.standard_normal(shape, np.float32)


# --- files

def write_safetensors(path, tensors):
    header, blob = {}, b""
    for name, array in tensors.items():
        data = np.ascontiguousarray(array)
        header[name] = {"dtype": DTYPES[data.dtype], "shape": list(np.shape(array)),
                        "data_offsets": [len(blob), len(blob) + data.nbytes]}
        blob += data.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    types = {word: dtype for dtype, word in DTYPES.items()}
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__" and entry["dtype"] in types:
            begin, end = (8 + size + at for at in entry["data_offsets"])
            array = np.frombuffer(data[begin:end], types[entry["dtype"]])
            tensors[name] = array.reshape(entry["shape"])
    return tensors


def fetched(name):
    """The file of a model of scripts/fetch.py, or None."""
    answer = subprocess.run([ROOT / "scripts" / "fetch.py", "model", name],
                            stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else None


# --- graphs of a few operations: ONNX for rlx and onnxruntime, tensors for MLX

def graph(nodes, inputs, weights):
    """nodes: (type, operands, attributes), one after another: each takes the result before it where
    an operand is "_". The last one's is "y"."""
    made, before = [], None
    for i, (kind, operands, attributes) in enumerate(nodes):
        result = ["y"] if i == len(nodes) - 1 else [f"v{i}"]
        made.append(helper.make_node(kind, [before if o == "_" else o for o in operands], result,
                                     **attributes))
        before = result[0]
    f32 = onnx.TensorProto.FLOAT
    g = helper.make_graph(
        made, "bench",
        [helper.make_tensor_value_info(name, f32, a.shape) for name, a in inputs.items()],
        [helper.make_tensor_value_info("y", f32, None)],
        [numpy_helper.from_array(a, name) for name, a in weights.items()])
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def matmul():
    x, w = {"x": normal(1024, 1024)}, {"w": normal(1024, 1024)}
    return graph([("MatMul", ["x", "w"], {})], x, w), x, x | w


def chain():
    x = {"x": normal(256)}
    nodes = [(("Tanh", ["_"], {}), ("Add", ["_", "half"], {}), ("Mul", ["_", "two"], {}))[i % 3]
             for i in range(64)]
    nodes[0] = ("Tanh", ["x"], {})
    return graph(nodes, x, {"half": np.float32(0.5), "two": np.float32(2)}), x, x


def tiny_mlp():
    x, w = {"x": normal(1, 16)}, {"w": normal(16, 16), "b": normal(16)}
    return graph([("Gemm", ["x", "w", "b"], {}), ("Relu", ["_"], {})], x, w), x, x | w


def conv():
    x, w = normal(1, 64, 56, 56), normal(64, 64, 3, 3)
    made = graph([("Conv", ["x", "w"], {"pads": [1, 1, 1, 1]})], {"x": x}, {"w": w})
    return made, {"x": x}, {"x": channels_last(x), "w": channels_last(w)}


def rows():
    x, w = {"x": normal(512, 384)}, {"norm.weight": normal(384), "norm.bias": normal(384)}
    norm = ("LayerNormalization", ["_", "norm.weight", "norm.bias"], {"epsilon": 1e-12})
    nodes = 4 * [norm, ("Gelu", ["_"], {}), ("Softmax", ["_"], {})]
    nodes[0] = (norm[0], ["x", *norm[1][1:]], norm[2])
    return graph(nodes, x, w), x, x | w


def lstm():
    length, size = 32, 128
    x = {"x": normal(length, 1, size)}
    w, r, b = (0.1 * normal(1, 4 * size, *n) for n in ((size,), (size,), ()))
    nodes = [("LSTM", ["x", "w", "r", "both"], {"hidden_size": size}),
             ("Squeeze", ["_", "axis"], {})]
    made = graph(nodes, x, {"w": w, "r": r, "both": np.concatenate([b, 0 * b], 1),
                            "axis": np.array([1])})
    return made, x, x | {"w": w[0], "r": r[0], "b": b[0]}


# --- real models, by their names in scripts/fetch.py

def token_ids(model, batch, length):
    ids = random.integers(1000, 30000, (batch, length))
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": 0 * ids}
    return {i.name: given[i.name] for i in model.graph.input}


def image(*shape):
    return lambda model: {"x": random.random((1, 3, *shape), np.float32)}


def encoder_weights(model, inputs):
    """Those of the file have the names of transformers, but for the transposed ones of matmul
    nodes, which are told by the bias of the addition behind them."""
    weights = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    makers = {o: n for n in model.graph.node for o in n.output}
    for n in model.graph.node:
        product = makers.get(n.input[1]) if n.op_type == "Add" else None
        if product is not None and product.op_type == "MatMul" and n.input[0].endswith(".bias"):
            name = n.input[0].removesuffix("bias") + "weight"
            weights[name] = weights[product.input[1]].T
    return inputs | {k: v for k, v in weights.items() if k.endswith((".weight", ".bias"))}


def channels_last(a):
    return np.moveaxis(a, 1, -1)


def lcnet_weights(model, inputs):
    """The convolutions in order, with the batch norm or addition behind each folded in."""
    weights = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    weights |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in model.graph.node
                if n.op_type == "Constant"}
    readers = {i: n for n in model.graph.node for i in n.input}
    tensors = {"x": channels_last(inputs["x"])}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    for i, n in enumerate(convolutions):
        w = weights[n.input[1]]
        scale, shift = np.ones(len(w), "f4"), np.zeros(len(w), "f4")
        behind = readers[n.output[0]]
        if behind.op_type == "BatchNormalization":
            gamma, beta, mean, variance = (weights[k] for k in behind.input[1:])
            scale = gamma / np.sqrt(variance + behind.attribute[0].f)
            shift = beta - mean * scale
        elif behind.op_type == "Add":
            shift = weights[behind.input[1]].reshape(-1)
        tensors[f"conv.{i}.weight"] = channels_last(w * scale[:, None, None, None])
        tensors[f"conv.{i}.bias"] = shift
    dropped = [n for n in model.graph.node if n.op_type == "Mul" and n.input[1] in weights]
    last = next(n for n in model.graph.node if n.op_type == "MatMul")
    tensors["w"] = weights[last.input[1]] * np.prod([weights[n.input[1]] for n in dropped])
    tensors["b"] = weights[readers[last.output[0]].input[1]]
    return tensors


def real(name, inputs, tensors=None):
    """tensors: what MLX by hand takes, where the model is written there too."""
    def make():
        file = fetched(name)
        if file is None:
            return None
        model = onnx.load(file)
        given = inputs(model)
        return model, given, tensors and tensors(model, given)
    return make


def silero_frame(model):
    return {"input": 0.1 * normal(1, 576), "state": np.zeros((2, 1, 128), "f4"),
            "sr": np.array(16000)}


def file_bytes(model):
    return {"bytes": random.integers(0, 256, (1, 2048)).astype("i4")}


def encoder(name, batch, length, tensors=None):
    return real(name, lambda model: token_ids(model, batch, length), tensors)


# name: (what makes it, case of mlx_by_hand, how far results may differ)
CASES = {
    "minilm 1x16": (encoder("minilm-onnx", 1, 16, encoder_weights), "minilm", 1e-4),
    "minilm 1x128": (encoder("minilm-onnx", 1, 128, encoder_weights), "minilm", 1e-4),
    "minilm 32x128": (encoder("minilm-onnx", 32, 128, encoder_weights), "minilm", 1e-4),
    "orientation": (real("orientation", image(224, 224), lcnet_weights), "orientation", 1e-4),
    "matmul 1024": (matmul, "matmul", 1e-4),
    "conv 3x3 64x56x56": (conv, "conv", 1e-4),
    "tiny mlp 1x16": (tiny_mlp, "tiny_mlp", 1e-4),
    "norm gelu softmax": (rows, "rows", 1e-4),
    "lstm 32 steps": (lstm, "lstm", 1e-4),
    "chain of 64": (chain, "chain", 1e-4),
    "magika": (real("magika", file_bytes), None, 1e-4),
    "detection 640x640": (real("ocr-detection", image(640, 640)), None, 1e-4),
    "recognition 48x320": (real("ocr-recognition", image(48, 320)), None, 1e-4),
    "silero frame": (real("silero", silero_frame), None, 1e-4),
    "minilm int8 1x128": (encoder("minilm-int8", 1, 128), None, 0.1),
}


# --- measuring: each runs for a while and gives its least time in microseconds and the first output

class Case:
    def __init__(self, name, model, inputs, tensors, folder):
        self.output = model.graph.output[0].name
        self.inputs, self.by_hand = inputs, tensors and CASES[name][1]
        self.model, self.given = folder / "model.onnx", folder / "inputs.safetensors"
        self.weights, self.result = folder / "weights.safetensors", folder / "result.safetensors"
        onnx.save(model, self.model)
        write_safetensors(self.given, inputs)
        if tensors:
            write_safetensors(self.weights, tensors)

    def child(self, threads, *command):
        # An exported core type would slow OpenBLAS down on both sides.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                                env=environment)
        return json.loads(output.stdout)["min_us"], read_safetensors(self.result)

    def rlx(self, options, threads):
        least, results = self.child(
            threads, options.rlx, "bench", self.model, "--json", "--inputs", self.given, "--output",
            self.result, "--device", "cpu", "--min-seconds", str(options.seconds))
        return least, results[self.output]

    def mlx(self, options, threads):
        if not self.by_hand:
            return None
        least, results = self.child(threads, options.mlx_by_hand, self.by_hand,
                                    str(options.seconds), self.result, self.weights)
        y = results["y"]
        return least, np.moveaxis(y, -1, 1) if y.ndim == 4 else y

    def onnxruntime(self, options, threads):
        if onnxruntime is None:
            return None
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(str(self.model), settings,
                                               providers=["CPUExecutionProvider"])
        result = session.run([self.output], self.inputs)[0]
        least_us(lambda: session.run([self.output], self.inputs), options.seconds / 10)
        return least_us(lambda: session.run([self.output], self.inputs), options.seconds), result


def least_us(run, seconds):
    least, begin, count = float("inf"), time.perf_counter(), 0
    while count < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        least, count = min(least, time.perf_counter() - start), count + 1
    return least * 1e6


def difference(a, b):
    """Of the largest number in it, or of 1."""
    return float(np.abs(a - b.reshape(a.shape)).max() / max(1, np.abs(a).max()))


def measure(case, options, threads):
    """Least times by peer, None where there is none, and the largest difference to rlx."""
    peers, least, result, apart = (case.rlx, case.mlx, case.onnxruntime), [None] * 3, None, 0
    for _ in range(options.rounds):
        for i, peer in enumerate(peers):
            answer = peer(options, threads)
            if answer is None:
                continue
            least[i] = min(answer[0], least[i] or answer[0])
            result = answer[1] if result is None else result
            apart = max(apart, difference(result, answer[1]))
    return least, apart


def cell(value, form):
    return format(value, form) if value else "-"


def main(options):
    good = True
    if onnxruntime is None:
        print("onnxruntime is not installed here: left out")
    print("| model | threads | rlx us | MLX by hand us | onnxruntime us | rlx / MLX | "
          "rlx / onnxruntime | difference |\n|" + 8 * " --- |")
    for name, (make, _, limit) in CASES.items():
        if not fnmatch.fnmatch(name, options.only):
            continue
        made = make()
        if made is None:
            print(f"| {name} | its file cannot be had: left out |")
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = Case(name, *made, pathlib.Path(folder))
            for threads in (1, 2):
                (ours, mlx, ort), apart = measure(case, options, threads)
                ratios = [ours / other if other else None for other in (mlx, ort)]
                good = good and apart <= limit and (ratios[0] or 0) <= LIMIT
                cells = [name, threads, cell(ours, ".0f"), cell(mlx, ".0f"), cell(ort, ".0f"),
                         cell(ratios[0], ".2f"), cell(ratios[1], ".2f"), f"{apart:.0e}"]
                print("|", " | ".join(map(str, cells)), "|", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rlx", type=os.path.abspath)
    parser.add_argument("mlx_by_hand", type=os.path.abspath)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", default="*")
    sys.exit(main(parser.parse_args()))
