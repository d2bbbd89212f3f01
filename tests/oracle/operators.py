#!/usr/bin/env python3
"""ONNX operators as files of older and newer opsets have them, through `rlx run` against onnxruntime:
operators.py RLX. Attributes became inputs and rules changed from opset to opset: that is what is
tested here. All cases of one opset stand in one model. Run it by `scripts/fetch.py oracle`.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

TOLERANCE = 1e-5
random = np.random.default_rng(1)
cases = []  # (opset, operator, operands, number of outputs, attributes)


class Given(np.ndarray):
    """An operand that is a constant of the model, not an input."""


def given(items, dtype=np.int64):
    return np.array(items, dtype).view(Given)


def real(*shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def positive(*shape):
    return np.abs(real(*shape)) + np.float32(0.1)


def whole(low, high, *shape, dtype=np.int64):
    return random.integers(low, high, shape).astype(dtype)


def case(opsets, operator, *operands, outputs=1, **attributes):
    for opset in opsets:
        cases.append((opset, operator, operands, outputs, attributes))


def add_shape_cases():
    case((7, 9), "Slice", real(4, 5, 6), starts=[1, -3], ends=[3, 1000], axes=[0, 2])
    case((7, 9), "Slice", real(4, 5), starts=[1], ends=[-1])
    for dtype in (np.int32, np.int64):
        least = np.iinfo(dtype).min
        case((10, 13), "Slice", real(4, 5, 6), given([3, -1], dtype), given([least, least + 1], dtype),
             given([0, 2], dtype), given([-1, -2], dtype))
    case((7, 11), "Split", real(6, 4), outputs=3, axis=0)
    case((7, 11), "Split", real(6, 4), outputs=2, axis=-1, split=[1, 3])
    case((13, 18), "Split", real(6, 4), given([1, 2, 3]), outputs=3)
    case((18,), "Split", real(7, 4), outputs=3, num_outputs=3)
    for mode in ("constant", "reflect", "edge"):
        case((7, 10), "Pad", real(3, 4), pads=[1, 2, 1, 0], mode=mode)
        case((11, 19), "Pad", real(3, 4), given([1, 2, 1, 0]), mode=mode)
    case((7,), "Pad", real(3, 4), pads=[-1, 2, 1, -1], value=1.5)
    case((11, 18), "Pad", real(2, 3), given([1, 0, 2, 3]), given(2.5, np.float32))
    case((13,), "Pad", real(2, 3), given([1, 0, 2, 3]), real())
    case((18,), "Pad", real(2, 3), given([1, 2]), None, given([-1]))
    case((19,), "Pad", real(3, 4), given([1, 2, 1, 3]), mode="wrap")
    case((7, 11), "Squeeze", real(1, 3, 1), axes=[0])
    case((7, 13), "Squeeze", real(1, 3, 1))
    case((13,), "Squeeze", real(1, 3, 1), given([-1]))
    case((7, 11), "Unsqueeze", real(3, 4), axes=[0, 2])
    case((13,), "Unsqueeze", real(3, 4), given([-1, 0]))
    case((7, 13), "Reshape", real(2, 3, 4), given([0, -1]))
    case((14,), "Reshape", real(0, 3), given([0, 3]), allowzero=1)
    case((7,), "DepthToSpace", real(2, 8, 3, 4), blocksize=2)
    case((11,), "DepthToSpace", real(2, 8, 3, 4), blocksize=2, mode="CRD")
    case((7,), "SpaceToDepth", real(2, 3, 4, 6), blocksize=2)
    case((9,), "OneHot", given([0, 2, 1]), given(3), given([0.5, 2], np.float32), axis=0)
    case((11,), "OneHot", given([0, 2, -1, 5]), given(3), given([0.5, 2], np.float32), axis=0)
    case((11,), "Range", given(1), given(10), given(3))
    case((11,), "Range", given(1, np.float32), given(2, np.float32), given(0.3, np.float32))
    case((9,), "EyeLike", real(3, 4), k=1)
    case((15,), "Shape", real(2, 3, 4), start=-2)


def add_math_cases():
    case((7, 10), "Clip", real(3, 4), min=-0.2, max=0.3)
    case((11, 13), "Clip", real(3, 4), given(-0.2, np.float32))
    case((12,), "Clip", whole(-9, 9, 3, 4), given(-2), given(3))
    case((8, 13), "Max", real(3, 4), real(4), real(1, 1))
    case((8, 13), "Mean", real(3, 4), real(4), real(3, 1))
    case((7, 13), "Pow", positive(3, 4), real(4))
    case((12, 13), "Pow", positive(3, 4), given(2))
    case((13,), "Pow", whole(1, 5, 3), given([2, 1, 0.5], np.float32))
    case((10,), "Mod", real(3, 4), real(3, 4), fmod=1)
    case((10,), "Mod", whole(-9, 9, 5), given([3, -3, 2, -2, 5]))
    case((7, 9), "PRelu", real(2, 3, 4), real(3, 1))
    case((9,), "Shrink", real(9), lambd=0.7, bias=0.2)
    case((10,), "IsInf", np.array([1, np.inf, -np.inf, np.nan], np.float32), detect_negative=0)
    case((11,), "BitShift", whole(0, 255, 3, dtype=np.uint8), given([1, 2, 3], np.uint8),
         direction="RIGHT")
    case((7,), "Gemm", real(3, 4), real(4, 5), real(5), alpha=0.5, beta=2.0)
    case((9, 11), "Gemm", real(4, 3), real(5, 4), real(3, 5), transA=1, transB=1)
    case((11,), "Gemm", real(3, 4), real(4, 5))
    case((12, 13), "Dropout", real(3, 4), given(0.3, np.float32), given(False, np.bool_), outputs=2)
    case((10, 13), "QuantizeLinear", real(3, 4), given(0.01, np.float32), given(3, np.uint8))
    case((13,), "QuantizeLinear", real(3, 4), positive(4), whole(-3, 3, 4, dtype=np.int8), axis=1)
    case((13,), "DequantizeLinear", whole(0, 255, 3, 4, dtype=np.uint8), positive(3),
         whole(0, 9, 3, dtype=np.uint8), axis=0)


def add_reduce_cases():
    for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"):
        changed = 13 if name == "Sum" else 18
        case((7, 11), "Reduce" + name, positive(3, 4, 5), axes=[0, 2], keepdims=0)
        case((7, changed), "Reduce" + name, positive(3, 4, 5))
        case((changed,), "Reduce" + name, positive(3, 4, 5), given([1, -1]))
        case((changed,), "Reduce" + name, positive(3, 4, 5), noop_with_empty_axes=1)
    for name in ("Softmax", "LogSoftmax", "Hardmax"):
        for axis in (0, 1, 2):
            case((7, 11, 13), name, real(2, 3, 4), axis=axis)
        case((7, 11, 13), name, real(2, 3, 4))
    for name in ("ArgMax", "ArgMin"):
        case((7, 11), name, real(3, 4))
        case((12, 13), name, np.round(real(3, 9)), axis=-1, select_last_index=1, keepdims=0)
    case((7,), "TopK", real(3, 5), outputs=2, k=2)
    case((10, 11), "TopK", real(3, 5), given([3]), outputs=2, axis=0)
    case((11,), "TopK", real(3, 5), given([2]), outputs=2, largest=0)
    case((11,), "CumSum", real(3, 4), given(1), exclusive=1, reverse=1)


def add_window_cases():
    for window in (dict(kernel_shape=[3, 3]), dict(kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 1, 1]),
                   dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
                   dict(kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
                   dict(kernel_shape=[3, 3], strides=[2, 2], auto_pad="VALID"),
                   dict(kernel_shape=[2, 2], strides=[3, 3], dilations=[2, 1])):
        x, kernel = real(2, 3, 10, 9), window["kernel_shape"]
        pooled = {name: value for name, value in window.items() if name != "dilations"}
        case((8, 12), "MaxPool", x, **pooled)
        case((7, 11), "AveragePool", x, **pooled)
        case((12,), "MaxPool", x, **window)
        case((19,), "AveragePool", x, count_include_pad=1, **window)
        if "auto_pad" not in window:
            case((12,), "MaxPool", x, ceil_mode=1, **window)
            case((19,), "AveragePool", x, ceil_mode=1, **window)
        for groups, per_group, out in ((1, 3, 4), (3, 1, 6), (3, 1, 3)):
            case((7, 11), "Conv", x, real(out, per_group, *kernel), real(out), group=groups, **window)
        case((7, 11), "ConvTranspose", x, real(3, 4, *kernel), real(4), **window)
        case((11,), "ConvTranspose", x, real(3, 1, *kernel), group=3, **window)
    x, weights = real(1, 3, 5, 4), real(3, 2, 3, 3)
    case((11,), "ConvTranspose", x, weights, strides=[2, 2], output_shape=[10, 8])
    case((11,), "ConvTranspose", x, weights, strides=[2, 3], output_padding=[1, 2])
    case((11,), "ConvTranspose", x, weights, strides=[2, 3], output_shape=[10, 12], auto_pad="SAME_UPPER")
    case((11,), "Conv", real(1, 3, 9), real(4, 3, 3), pads=[1, 2])
    case((11,), "Conv", real(1, 4, 5, 6, 7), real(4, 2, 2, 2, 3), group=2, pads=[0, 1, 1, 1, 0, 1])
    case((12,), "MaxPool", whole(-99, 99, 1, 2, 6, 6, dtype=np.int8), kernel_shape=[3, 3], pads=[1] * 4)
    case((7,), "GlobalAveragePool", real(2, 3, 4, 5))
    case((7,), "GlobalMaxPool", real(2, 3, 4, 5))


def add_resize_cases():
    x, nothing = real(1, 2, 5, 8), given([], np.float32)
    case((7,), "Upsample", x, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])
    for mode in ("nearest", "linear"):
        case((9,), "Upsample", x, given([1, 1, 2, 1.5], np.float32), mode=mode)
        for scales in ([1, 1, 2, 2.5], [1, 1, 0.6, 0.5]):
            case((10,), "Resize", x, given(scales, np.float32), mode=mode)
    places = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for mode, roundings in (("linear", ["floor"]), ("cubic", ["floor"]),
                            ("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])):
        for place in places + ("half_pixel_symmetric",):
            for rounding in roundings:
                rules = dict(mode=mode, coordinate_transformation_mode=place, nearest_mode=rounding)
                opsets = (11, 13, 19) if place in places else (19,)
                for scales in ([1, 1, 2, 3], [1, 1, 0.5, 0.75], [1, 1, 1.7, 1.3]):
                    case(opsets, "Resize", x, nothing, given(scales, np.float32), **rules)
                case(opsets, "Resize", x, nothing, nothing, given([1, 2, 7, 3]), **rules)
    case((18,), "Resize", x, None, None, given([3, 4]), axes=[2, 3], mode="linear", antialias=1)
    case((18,), "Resize", x, None, None, given([7, 7]), axes=[3, 2],
         keep_aspect_ratio_policy="not_larger")


def add_norm_cases():
    case((7, 9, 15), "BatchNormalization", real(2, 3, 4), real(3), real(3), real(3), positive(3),
         epsilon=0.01)
    case((7,), "InstanceNormalization", real(2, 3, 4, 5), real(3), real(3))
    case((17,), "LayerNormalization", real(2, 3, 4), real(4), real(4), outputs=3)
    case((17,), "LayerNormalization", real(2, 3, 4), real(3, 4), axis=1)
    case((7,), "LpNormalization", real(3, 4), axis=0, p=1)
    case((7,), "LpNormalization", real(3, 4))
    case((9,), "MeanVarianceNormalization", real(2, 3, 4, 5))
    classes = whole(0, 5, 3, 4)
    for reduction in ("none", "sum", "mean"):
        for weights in ((), (positive(5),)):
            for ignored in ({}, {"ignore_index": 2}):
                case((12, 13), "NegativeLogLikelihoodLoss", real(3, 5, 4), classes, *weights,
                     reduction=reduction, **ignored)
                case((12, 13), "SoftmaxCrossEntropyLoss", real(3, 5, 4), classes, *weights,
                     outputs=2, reduction=reduction, **ignored)
    case((11, 18), "LpPool", real(2, 3, 7), kernel_shape=[3], strides=[2], pads=[1, 1], p=3)
    case((11, 18), "LpPool", real(2, 3, 6, 5), kernel_shape=[2, 3])
    for window in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        case((17,), window, given(10))
        case((17,), window, given(9), periodic=0)
    case((7, 13), "LRN", real(2, 6, 3, 3), size=3, alpha=0.1, bias=2.0)


def add_quantized_cases():
    x, scale, zero = real(2, 3, 8), given(0.02, np.float32), given(131, np.uint8)
    case((11,), "DynamicQuantizeLinear", x, outputs=3)
    case((11,), "DynamicQuantizeLinear", positive(5), outputs=3)
    case((11,), "DynamicQuantizeLinear", np.zeros((2, 3), np.float32), outputs=3)
    # i8 weights of 7 bits: beyond them onnxruntime's kernels for u8 x i8 saturate in i16 on some CPUs
    a, b = whole(0, 256, 2, 3, 8, dtype=np.uint8), whole(-64, 64, 8, 4, dtype=np.int8)
    case((10,), "MatMulInteger", a, b)
    case((10,), "MatMulInteger", a, b, zero, given(-3, np.int8))
    case((10,), "MatMulInteger", a, b, zero, given([-3, 0, 7, 1], np.int8))
    case((10,), "QLinearMatMul", a, scale, zero, b, given(0.03, np.float32), given(-3, np.int8),
         given(0.5, np.float32), given(100, np.uint8))
    image = whole(0, 256, 2, 4, 7, 6, dtype=np.uint8)
    filters = whole(0, 256, 6, 2, 3, 3, dtype=np.uint8)
    window = dict(group=2, pads=[1, 0, 1, 1], strides=[2, 1])
    case((10,), "ConvInteger", image, filters, zero, **window)
    case((10,), "QLinearConv", image, scale, zero, filters, given(0.03, np.float32),
         given(120, np.uint8), given(0.7, np.float32), given(90, np.uint8),
         given([1, -2, 3000, 0, 5, -999], np.int32), **window)
    weights = whole(-64, 64, 6, 2, 3, 3, dtype=np.int8).view(Given)
    # 0.71, not 0.7: sums times .02 * .05 / .7 would fall halfway between two codes
    case((13,), "QLinearConv", image, scale, zero, weights,
         given([.01, .02, .03, .04, .05, .06], np.float32), given([0] * 6, np.int8),
         given(0.71, np.float32), given(90, np.uint8), **window)


def build(opset):
    """The model of an opset, its inputs, and what to call each of its outputs in a message."""
    nodes, inputs, constants, outputs, feed, texts = [], [], [], [], {}, {}
    for k, (_, operator, operands, count, attributes) in enumerate(c for c in cases if c[0] == opset):
        names = []
        for i, operand in enumerate(operands):
            names.append("" if operand is None else f"in_{k}_{i}")
            if isinstance(operand, Given):
                constants.append(numpy_helper.from_array(np.asarray(operand), names[-1]))
            elif operand is not None:
                feed[names[-1]] = operand
                dtype = helper.np_dtype_to_tensor_dtype(operand.dtype)
                inputs.append(helper.make_tensor_value_info(names[-1], dtype, operand.shape))
        results = [f"out_{k}_{i}" for i in range(count)]
        nodes.append(helper.make_node(operator, names, results, **attributes))
        outputs += [helper.make_empty_tensor_value_info(name) for name in results]
        shapes = [getattr(operand, "shape", None) for operand in operands]
        texts.update({name: f"{operator}-{opset} {shapes} {attributes}" for name in results})
    graph = helper.make_graph(nodes, "operators", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model, feed, texts


def difference(got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"is {got.dtype}{list(got.shape)}, should be {want.dtype}{list(want.shape)}"
    if want.dtype.kind != "f":
        return None if np.array_equal(got, want) else f"is {got.ravel()[:6]}, should be {want.ravel()[:6]}"
    error = np.abs(got - want).max(initial=0) / np.abs(want).max(initial=1e-30)
    return None if error <= TOLERANCE else f"differs by {error:.2e}"


def check(rlx, opset, folder):
    """What is wrong with the cases of an opset, and how many outputs they have."""
    model, feed, texts = build(opset)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    np.savez(folder / "in.npz", **feed)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    want = dict(zip(names, session.run(names, feed)))
    run = subprocess.run([rlx, "run", path, "--inputs", folder / "in.npz", "--output",
                          folder / "out.npz"], capture_output=True, text=True)
    if run.returncode != 0:
        return [f"opset {opset}: rlx run ended with {run.returncode}: {run.stderr.strip()}"], len(want)
    with np.load(folder / "out.npz") as got:
        wrong = {name: difference(got[name], want[name]) for name in want}
    return [f"{texts[name]}: {text}" for name, text in wrong.items() if text], len(want)


def main(rlx):
    for add in (add_shape_cases, add_math_cases, add_reduce_cases, add_window_cases, add_resize_cases,
                add_norm_cases, add_quantized_cases):
        add()
    onnxruntime.set_default_logger_severity(3)
    failed = total = 0
    with tempfile.TemporaryDirectory() as temporary:
        for opset in sorted({c[0] for c in cases}):
            wrong, count = check(rlx, opset, pathlib.Path(temporary))
            print("\n".join(wrong + [f"opset {opset}: {count} outputs, {len(wrong)} wrong"]), flush=True)
            failed, total = failed + len(wrong), total + count
    print(f"{total - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1]))
