"""bench/cases.py: what bench.py measures: real models by their names in scripts/fetch.py, graphs of
a few operations, the bars of each, and models of one operation for the kernels."""
import dataclasses
import pathlib
import subprocess
import typing

import numpy as np
import onnx
from onnx import helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parent.parent
random = np.random.default_rng(1)


def normal(*shape):
    return random.standard_normal(shape, np.float32)


def fetched(name):
    """The file of a model of scripts/fetch.py, or None."""
    answer = subprocess.run([ROOT / "scripts" / "fetch.py", "model", name],
                            stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip() if answer.returncode == 0 else None


# --- graphs of a few operations: ONNX for rlx and onnxruntime, tensors for what is by hand

def graph(nodes, inputs, weights, dtype=onnx.TensorProto.FLOAT, opset=20):
    """nodes: (type, operands, attributes), one after another: each takes the result before it where
    an operand is "_". The last one's is "y"."""
    made, before = [], None
    for i, (kind, operands, attributes) in enumerate(nodes):
        result = ["y"] if i == len(nodes) - 1 else [f"v{i}"]
        made.append(helper.make_node(kind, [before if o == "_" else o for o in operands], result,
                                     **attributes))
        before = result[0]
    g = helper.make_graph(
        made, "bench",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
         for name, a in inputs.items()],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(a, name) for name, a in weights.items()])
    return helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def matmul():
    """Both operands are inputs."""
    both = {"x": normal(1024, 1024), "w": normal(1024, 1024)}
    return graph([("MatMul", ["x", "w"], {})], both, {}), both, both


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


@dataclasses.dataclass
class Case:
    make: typing.Callable  # the model, its inputs, and tensors for what is by hand; None: not here
    hand: str = None       # its name in mlx_by_hand.cpp and the like
    bars: dict = dataclasses.field(default_factory=dict)  # peer: at most so much of onnxruntime's
    most_us: float = None  # what a run of rlx may take
    limit: float = 1e-4    # how far results may differ
    exact: str = None      # the model in full precision that both are judged by
    slow: bool = False     # a run of peers that are not tuned takes many seconds


def bars(f32, bf16=None):
    return {"rlx": f32} | ({"rlx bf16": bf16} if bf16 else {})


CASES = {
    "minilm 1x128": Case(encoder("minilm-onnx", 1, 128, encoder_weights), "minilm",
                         bars(0.85, 0.48)),
    "minilm 1x16": Case(encoder("minilm-onnx", 1, 16, encoder_weights), "minilm", bars(0.62, 0.33)),
    "minilm 32x128": Case(encoder("minilm-onnx", 32, 128, encoder_weights), "minilm",
                          bars(0.78, 0.45), slow=True),
    "minilm int8 1x128": Case(encoder("minilm-int8", 1, 128), None, bars(0.85), limit=0.1,
                              exact="minilm-onnx"),
    "magika": Case(real("magika", file_bytes), None, bars(0.90)),
    "orientation": Case(real("orientation", image(224, 224), lcnet_weights), "orientation",
                        bars(0.90)),
    "detection 640x640": Case(real("ocr-detection", image(640, 640)), None, bars(0.90)),
    "recognition 48x320": Case(real("ocr-recognition", image(48, 320)), None, bars(0.90)),
    "silero frame": Case(real("silero", silero_frame), None, bars(0.80)),
    "tiny mlp 1x16": Case(tiny_mlp, "tiny_mlp", bars(0.50), most_us=1),
    "matmul 1024": Case(matmul, "matmul", bars(1.00)),
    "conv 3x3 64x56x56": Case(conv, "conv", bars(1.00)),
    "norm gelu softmax": Case(rows, "rows"),
    "lstm 32 steps": Case(lstm, "lstm"),
    "chain of 64": Case(chain, "chain"),
}


# --- models of one operation, a line for each family of kernels

def one(kind, *operands, inputs=1, dtype=onnx.TensorProto.FLOAT, opset=20, **attributes):
    """Arrays under the names a, b, ..: so many inputs, and constants behind them."""
    def make():
        arrays = [(name, operand()) for name, operand in zip("abcdefgh", operands) if operand]
        given, weights = dict(arrays[:inputs]), dict(arrays[inputs:])
        names = [name if operand else "" for name, operand in zip("abcdefgh", operands)]
        return graph([(kind, names, attributes)], given, weights, dtype, opset), given, None
    return make


def floats(*shape, scale=1):
    return lambda: np.float32(scale) * normal(*shape)


def integers(*values):
    return lambda: np.array(values, np.int64)


def of_indices(limit, *shape):
    return lambda: random.integers(0, limit, shape)


I64 = onnx.TensorProto.INT64
KERNELS = {name: Case(make) for name, make in {
    "add 512x384": one("Add", floats(512, 384), floats(512, 384), inputs=2),
    "tanh 512x384": one("Tanh", floats(512, 384)),
    "gelu 512x1536": one("Gelu", floats(512, 1536)),
    "softmax 1536x128": one("Softmax", floats(1536, 128)),
    "layer norm 512x384": one("LayerNormalization", floats(512, 384), floats(384), floats(384)),
    "instance norm 32x56x56": one("InstanceNormalization", floats(1, 32, 56, 56), floats(32),
                                  floats(32)),
    "reduce sum 512x384 by rows": one("ReduceSum", floats(512, 384), integers(1)),
    "reduce max 512x384 by columns": one("ReduceMax", floats(512, 384), integers(0)),
    "argmax 512x384": one("ArgMax", floats(512, 384), dtype=I64, axis=1),
    "cumsum 512x384": one("CumSum", floats(512, 384), integers(1)),
    "gather 128 of 30000x384": one("Gather", floats(30000, 384), of_indices(30000, 128),
                                   inputs=2),
    "transpose 12x128x32": one("Transpose", floats(128, 12, 32), perm=[1, 0, 2]),
    "transpose 512x384": one("Transpose", floats(512, 384), perm=[1, 0]),
    "concat 256x384 twice": one("Concat", floats(256, 384), floats(256, 384), inputs=2,
                                axis=1),
    "pad 32x56x56": one("Pad", floats(1, 32, 56, 56), integers(0, 0, 1, 1, 0, 0, 1, 1)),
    "tile 128x384": one("Tile", floats(128, 384), integers(4, 1)),
    "resize 32x28x28 twice": one("Resize", floats(1, 32, 28, 28),
                                 None, lambda: np.array([1, 1, 2, 2], np.float32), mode="linear"),
    "max pool 64x56x56": one("MaxPool", floats(1, 64, 56, 56), kernel_shape=[3, 3],
                             strides=[2, 2], pads=[1, 1, 1, 1]),
    "average pool 64x56x56": one("GlobalAveragePool", floats(1, 64, 56, 56)),
    "linear 128x384 by 1536": one("Gemm", floats(128, 384), floats(384, 1536), floats(1536)),
    "matmul 12 of 128x32x128": one("MatMul", floats(12, 128, 32), floats(12, 32, 128),
                                   inputs=2),
    "conv 1x1 64x56x56": one("Conv", floats(1, 64, 56, 56), floats(64, 64, 1, 1)),
    "conv depthwise 64x56x56": one("Conv", floats(1, 64, 56, 56), floats(64, 1, 3, 3), group=64,
                                   pads=[1, 1, 1, 1]),
    "conv transposed 32x28x28": one("ConvTranspose", floats(1, 32, 28, 28), floats(32, 32, 2, 2),
                                    strides=[2, 2]),
    "attention 12x128x32": one("Attention", floats(1, 12, 128, 32), floats(1, 12, 128, 32),
                               floats(1, 12, 128, 32), inputs=3, opset=23),
    "gru 32 steps": one("GRU", floats(32, 1, 128), floats(1, 384, 128, scale=0.1),
                        floats(1, 384, 128, scale=0.1), hidden_size=128),
}.items()}


# --- how cost grows: by batch, by length, by size of image

GROWTH = {
    "batch": {f"{n} x 128": Case(encoder("minilm-onnx", n, 128)) for n in (1, 2, 4, 8, 16, 32)},
    "length": {f"1 x {n}": Case(encoder("minilm-onnx", 1, n)) for n in (16, 32, 64, 128, 256, 512)},
    "image": {f"{n} x {n}": Case(real("ocr-detection", image(n, n)))
              for n in (96, 160, 320, 480, 640, 960)},
}
