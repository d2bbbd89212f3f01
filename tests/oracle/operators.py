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
cases = []  # (opset, "domain:operator", operands, number of outputs, attributes)


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
    for order in (0, 1):
        case((8, 12), "MaxPool", real(2, 3, 7, 6), outputs=2, kernel_shape=[3, 2], strides=[2, 2],
             pads=[1, 0, 1, 1], storage_order=order)
        case((12,), "MaxPool", whole(0, 2, 1, 2, 5, 4, 3, dtype=np.uint8), outputs=2,
             kernel_shape=[2, 3, 2], dilations=[2, 1, 1], storage_order=order)
    places = given([[[[1, 3], [12, 14]]]])
    case((9, 11), "MaxUnpool", real(1, 1, 2, 2), places, kernel_shape=[2, 2], strides=[2, 2])
    case((9, 11), "MaxUnpool", real(1, 1, 2, 2), places, given([1, 1, 5, 4]), kernel_shape=[2, 2],
         strides=[2, 2])
    case((11,), "MaxUnpool", real(1, 1, 2, 2), given([[[[0, 3], [5, 11]]]]), kernel_shape=[3, 4],
         pads=[1, 0, 0, 1])
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
    part = given([0, 0, 0.3, -0.1, 1, 1, 0.9, 1.2], np.float32)
    for mode in ("nearest", "linear", "cubic"):
        crop = dict(mode=mode, coordinate_transformation_mode="tf_crop_and_resize",
                    extrapolation_value=3.0)
        case((11, 13, 19), "Resize", x, part, nothing, given([1, 2, 7, 3]), **crop)
        case((11, 13, 19), "Resize", x, part, given([1, 1, 1.5, 0.5], np.float32), **crop)
    case((18,), "Resize", x, None, None, given([3, 4]), axes=[2, 3], mode="linear", antialias=1)
    case((18,), "Resize", x, None, None, given([7, 7]), axes=[3, 2],
         keep_aspect_ratio_policy="not_larger")


def add_norm_cases():
    case((7, 9, 15), "BatchNormalization", real(2, 3, 4), real(3), real(3), real(3), positive(3),
         epsilon=0.01)
    case((14, 15), "BatchNormalization", real(2, 3, 4), real(3), real(3), real(3), positive(3),
         outputs=3, training_mode=1, momentum=0.7)
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
    blocks = positive(2, 2, 8).view(Given)
    case((21,), "QuantizeLinear", x, blocks, whole(0, 256, 2, 2, 8, dtype=np.uint8).view(Given),
         axis=1, block_size=2)
    case((21,), "DequantizeLinear", whole(-128, 128, 2, 3, 8, dtype=np.int8), blocks, axis=1,
         block_size=2)
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


def add_recurrent_cases():
    steps, batch, width, hidden = 5, 3, 4, 6
    x, lengths = real(steps, batch, width), given([5, 2, 4], np.int32)
    functions = ["HardSigmoid", "LeakyRelu", "Softsign", "Sigmoid", "Affine", "ScaledTanh"]
    parameters = dict(activation_alpha=[0.3, 0.1, 0.7, 0.9], activation_beta=[0.4, 0.2, 0.8])
    for name, gates, cells in (("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)):
        for direction, n in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            weights = real(n, gates * hidden, width), real(n, gates * hidden, hidden)
            biases, states = real(n, 2 * gates * hidden), [real(n, batch, hidden)] * cells
            rules = dict(outputs=1 + cells, hidden_size=hidden, direction=direction)
            case((7, 14), name, x, *weights, **rules)
            case((7, 14), name, x, *weights, biases, lengths, *states, clip=0.8, **rules)
            if name == "LSTM":
                case((7,), name, x, *weights, biases, lengths, *states, real(n, 3 * hidden),
                     input_forget=1, activations=functions[:3 * n], **parameters, **rules)
            if name == "GRU":
                case((7,), name, x, *weights, biases, lengths, linear_before_reset=1, **rules)
    case((10,), "ReverseSequence", real(5, 3, 2), given([5, 1, 3]))
    case((10,), "ReverseSequence", real(3, 5, 2), given([5, 1, 3]), batch_axis=0, time_axis=1)


def values(items, dtype=np.int64):
    """An operand that is not known before the run."""
    return np.array(items, dtype)


def add_late_cases():
    """What decides about shapes is an input of the run."""
    case((11, 18), "Slice", real(4, 5, 6), values([3, 1]), values([-9, 100]), values([2, 0]), values([-2, 1]))
    case((11,), "Slice", real(1, 5), values([-2]), values([-5]), values([0]), values([-2]))
    case((11,), "Slice", real(4, 5), given([1]), given([4]), values([-1]), given([2]))
    case((13, 18), "Split", real(6, 4), values([1, 2, 3]), outputs=3)
    case((13,), "Pad", real(2, 3), values([1, 0, 2, 3]), real())
    case((18,), "Pad", real(2, 3), values([1, 2]), None, given([-1]))
    case((18,), "Pad", real(2, 3, 4), values([1, 2, 3, 1]), real(), values([-1, 0]))
    case((19,), "Pad", real(3, 4), given([1, 2]), None, values([0]), mode="edge")
    case((13,), "Squeeze", real(1, 3, 1), values([-1]))
    case((13,), "Unsqueeze", real(3, 4), values([-1, 0]))
    case((7, 13), "Reshape", real(2, 3, 4), values([0, -1]))
    case((13,), "Tile", real(2, 3), values([2, 1]))
    case((13,), "Expand", real(3, 1), values([2, 1, 4]))
    case((11,), "ConstantOfShape", values([2, 3]))
    case((11, 18), "TopK", real(3, 7), values([3]), outputs=2)
    for operator in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"):
        case((18,), operator, real(3, 4, 5), values([-1, 0]), keepdims=0)
        case((18,), operator, real(3, 4, 5), values([1]))
    case((18,), "ReduceSum", real(3, 4), values([]), noop_with_empty_axes=1)
    branches = {name: helper.make_graph(
        [helper.make_node("Constant", [], [name], value_floats=numbers)], name, [],
        [helper.make_empty_tensor_value_info(name)])
        for name, numbers in (("then_branch", [1.0, 2.0]), ("else_branch", [3.0, 4.0]))}
    case((13,), "If", values([[True]], bool), **branches)
    case((13,), "If", values([False], bool), **branches)
    case((11, 14), "CumSum", real(3, 4), values(-1, np.int32), reverse=1)
    case((14,), "Trilu", real(3, 4), values(-1), upper=0)
    case((11,), "OneHot", whole(0, 4, 2, 3), values(5), values([0.5, 2], np.float32), axis=1)
    case((11,), "OneHot", whole(0, 4, 2, 3), values([4.0], np.float32), values([0.5, 1], np.float32))
    for dtype in (np.int64, np.int32, np.float32, np.float64):
        case((11,), "Range", values(7, dtype), values(-2, dtype), values(-2, dtype))
    case((17,), "HannWindow", values(9), periodic=0)
    case((11, 13), "Clip", real(3, 4), values(-0.5, np.float32), values(0.5, np.float32))
    case((13,), "Resize", real(1, 2, 4, 5), None, values([1, 1, 2, 1.5], np.float32), mode="linear")
    case((13,), "Resize", real(1, 2, 4, 5), None, None, values([1, 2, 3, 8]), mode="cubic")
    for policy in ("not_larger", "not_smaller"):
        case((18,), "Resize", real(1, 2, 4, 5), None, None, values([7, 6]), axes=[2, 3],
             keep_aspect_ratio_policy=policy)
    case((9,), "Upsample", real(1, 2, 3, 4), values([1, 1, 2, 2], np.float32))


def add_select_cases():
    """The sizes of results depend on elements."""
    for x in (whole(-1, 2, 3, 4), real(5) > 0, np.zeros((2, 3), np.float32), whole(0, 2, 4, 3, 2, dtype=np.uint8)):
        case((9, 13), "NonZero", x)
    case((9, 11), "Compress", real(3, 4), real(9) > 0)
    case((9, 11), "Compress", real(3, 4, 2), real(3) > 0, axis=1)
    case((9, 11), "Compress", whole(0, 9, 3, 4), real(3) > 2, axis=-2)
    for x in (whole(0, 5, 20), np.round(real(4, 6) * 3), whole(0, 9, 0)):
        for order in (0, 1):
            case((11,), "Unique", x, outputs=4, sorted=order)
    case((11,), "Unique", whole(0, 2, 9, 3), outputs=4, axis=0)
    case((11,), "Unique", np.round(real(2, 9, 2)), outputs=4, axis=1, sorted=0)
    for center in (0, 1):
        boxes, scores = positive(2, 60, 4), real(2, 3, 60)
        case((11,), "NonMaxSuppression", boxes, scores, values([10]), values([0.3], np.float32),
             values([0.2], np.float32), center_point_box=center)
        case((11,), "NonMaxSuppression", boxes, scores, given([50]), given([0.6], np.float32),
             center_point_box=center)
    case((11,), "NonMaxSuppression", positive(1, 9, 4), real(1, 1, 9))


def add_attention_cases():
    q, k, v = real(2, 4, 5, 8), real(2, 2, 7, 8), real(2, 2, 7, 6)
    mask, seen = real(5, 7), whole(0, 2, 2, 1, 5, 7).astype(bool)
    seen[..., 0] = True
    case((23, 24), "Attention", q, k, v)
    case((23, 24), "Attention", q, k, v, mask, scale=0.3, softcap=2.0)
    case((23, 24), "Attention", q, k, v, seen)
    case((23, 24), "Attention", q, real(2, 4, 5, 8), real(2, 4, 5, 8), is_causal=1)
    case((24,), "Attention", real(2, 5, 32), real(2, 5, 16), real(2, 5, 12), None, real(2, 2, 3, 8),
         real(2, 2, 3, 6), outputs=3, q_num_heads=4, kv_num_heads=2, is_causal=1)
    for mode in range(4):
        case((24,), "Attention", q, k, v, mask, real(2, 2, 0, 8), real(2, 2, 0, 6), outputs=4,
             qk_matmul_output_mode=mode, softcap=1.5)
    case((24,), "Attention", q, k, v, None, None, None, whole(1, 8, 2))
    case((24,), "Attention", q, k, v, None, None, None, whole(5, 8, 2), is_causal=1)
    angles, places = positive(9, 4), whole(0, 9, 2, 5)
    tables = np.cos(angles), np.sin(angles)
    for style in (0, 1):
        rules = dict(interleaved=style)
        case((23,), "RotaryEmbedding", q, *tables, places, **rules)
        case((23,), "RotaryEmbedding", real(2, 5, 24), *tables, places, num_heads=3, **rules)
        case((23,), "RotaryEmbedding", real(2, 4, 5, 10), *tables, places, rotary_embedding_dim=8,
             **rules)
        case((23,), "RotaryEmbedding", q, tables[0][places], tables[1][places], **rules)
        case((17,), "com.microsoft:RotaryEmbedding", q, places, *tables, **rules)
        case((17,), "com.microsoft:RotaryEmbedding", real(2, 5, 24), given([3]), *tables, **rules)


def add_microsoft_cases():
    x, y, row = real(2, 3, 8), real(2, 3, 8), real(8)

    def fused(operator, *operands, **rules):
        case((17,), "com.microsoft:" + operator, *operands, **rules)

    fused("Gelu", x)
    fused("BiasGelu", x, row)
    fused("FastGelu", x, row)
    fused("FastGelu", x)
    fused("QuickGelu", x, alpha=1.5)
    fused("SkipLayerNormalization", x, y, row, real(8), real(8), epsilon=1e-3)
    fused("SkipLayerNormalization", x, y, row)
    fused("SkipSimplifiedLayerNormalization", x, y, row, real(8))
    for name in ("SkipSimplifiedLayerNormalization", "SkipLayerNormalization"):
        fused(name, x / 1000, y / 1000, row)  # so that the epsilon that is not given tells
    case((17,), "SimplifiedLayerNormalization", x, row)
    fused("FusedMatMul", x, real(8, 5), alpha=0.5)
    fused("FusedMatMul", real(2, 4, 3), real(2, 5, 4), transA=1, transB=1)
    fused("FusedMatMul", real(3, 2, 4), real(2, 4, 5), transBatchA=1)
    fused("FusedMatMul", real(2, 3, 4), real(5, 2, 4), transBatchB=1, transB=1)
    words, segments = whole(0, 9, 2, 5, dtype=np.int32), whole(0, 2, 2, 5, dtype=np.int32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    fused("EmbedLayerNormalization", words, segments, real(9, 8), real(7, 8), real(2, 8), row, real(8),
          mask, outputs=2)
    q, k, v, x = real(2, 5, 16), real(2, 7, 16), real(2, 7, 8), real(2, 5, 6)
    keys = np.array([[1, 1, 1, 1, 1, 0, 0], [1] * 7], np.int32)
    heads, weights = dict(num_heads=2), real(6, 48)
    fused("MultiHeadAttention", q, k, v, **heads)
    fused("MultiHeadAttention", q, k, v, real(40), keys, scale=0.2, **heads)
    fused("MultiHeadAttention", q, k, v, None, None, real(1, 2, 5, 7), **heads)
    fused("MultiHeadAttention", q, q, q, None, None, None, real(2, 2, 3, 8), real(2, 2, 3, 8),
          outputs=3, unidirectional=1, **heads)
    fused("Attention", x, weights, real(48), **heads)
    fused("Attention", x, weights, real(48), mask, **heads)
    fused("Attention", x, weights, real(48), given([3, 5], np.int32), **heads)
    fused("Attention", x, weights, real(48), None, real(2, 2, 2, 3, 8), outputs=2, unidirectional=1,
          **heads)
    fused("Attention", x, real(6, 40), real(40), mask[:, None].repeat(5, 1), None, real(2, 2, 5, 5),
          qkv_hidden_sizes=[16, 16, 8], **heads)


def add_einsum_cases():
    sizes = dict(zip("abcdefghijkABz", (2, 3, 4, 5, 3, 2, 4, 3, 2, 4, 5, 2, 3, 4)))
    for equation in ("ij,jk->ik", "ij,jk", "bhid,bhjd->bhij", "bikd,bjkd->bkij", "i,j->ij", "i,i->",
                     "ij->ji", "ij->", "ij->i", "ii->i", "ii", "iji->ji", "iii->i", "ab,bc,cd->ad",
                     "ab,ab,ac->c", "bij,bij->bij", " i j , j k -> k i ", "Aa,aB->BA", "zA,Ab", ",->",
                     "i,->i", "bdhi,bkhi,bk->bhdk", "abcd,afcd->abf", "ij,ij", "ijj,jk->ik"):
        shapes = ([sizes[label] for label in term.strip() if label != " "]
                  for term in equation.split("->")[0].split(","))
        case((12,), "Einsum", *(real(*shape) for shape in shapes), equation=equation)
    for equation, *shapes in (("...ii->...i", (2, 3, 4, 4)), ("a...b->b...a", (2, 3, 4, 5)),
                              ("...ij,...jk->...ik", (2, 1, 3, 4), (1, 5, 4, 6)),
                              ("...ij,...jk", (2, 3, 4), (1, 4, 6)), ("...,...->...", (2, 3), (1, 3)),
                              ("i...,i...->...", (3, 2, 4), (3, 1, 4)),
                              ("ij,jk->ik", (2, 1), (3, 4)), ("bij,bjk->bik", (1, 3, 4), (5, 4, 2))):
        case((12,), "Einsum", *(real(*shape) for shape in shapes), equation=equation)
    case((12,), "Einsum", whole(-9, 9, 3, 4), whole(-9, 9, 4, 2), equation="ij,jk")


def add_image_cases():
    for old, mode in (("bilinear", "linear"), ("nearest", "nearest"), ("bicubic", "cubic")):
        for padding in ("zeros", "border", "reflection"):
            for corners in (0, 1):
                rules = dict(padding_mode=padding, align_corners=corners)
                places = real(2, 6, 7, 2) * np.float32(1.8)
                case((16,), "GridSample", real(2, 3, 4, 5), places, mode=old, **rules)
                case((20,), "GridSample", real(2, 3, 4, 5), places, mode=mode, **rules)
                if mode != "cubic":
                    places = real(2, 3, 6, 4, 3) * np.float32(1.8)
                    case((20,), "GridSample", real(2, 3, 4, 5, 3), places, mode=mode, **rules)
    for corners in (0, 1):
        case((20,), "AffineGrid", real(2, 2, 3), given([2, 3, 4, 5]), align_corners=corners)
        case((20,), "AffineGrid", real(2, 3, 4), given([2, 3, 4, 5, 6]), align_corners=corners)
    boxes = np.array([[0, 0, 5, 6], [2.3, 1.2, 7.9, 4.4], [-1, -2, 9, 12]], np.float32)
    image, which, bins = real(2, 3, 8, 9), given([0, 1, 1]), dict(output_height=3, output_width=2)
    for mode in ("avg", "max"):
        case((10,), "RoiAlign", image, boxes, which, mode=mode, spatial_scale=0.7, **bins)
        for rule in ("half_pixel", "output_half_pixel"):
            case((16,), "RoiAlign", image, boxes, which, mode=mode, sampling_ratio=2,
                 coordinate_transformation_mode=rule, **bins)
    case((16,), "RoiAlign", image, boxes, which)
    case((18,), "Col2Im", real(2, 12, 16), given([5, 6]), given([2, 3]))
    case((18,), "Col2Im", real(2, 12, 6), given([5, 7]), given([2, 3]), strides=[2, 2])
    case((18,), "Col2Im", real(1, 8, 20), given([4, 5]), given([2, 2]), dilations=[2, 1],
         pads=[1, 0, 1, 1])
    case((18,), "CenterCropPad", real(5, 8, 3), given([8, 5, 3]))
    case((18,), "CenterCropPad", real(6, 7, 3), given([3, 10]), axes=[-2, 0])
    case((11,), "Det", real(2, 4, 4))


def add_signal_cases():
    case((17,), "DFT", real(2, 10, 1))
    case((17,), "DFT", real(2, 9, 2), axis=-2)
    case((17,), "DFT", real(3, 10, 1), onesided=1)
    case((17,), "DFT", real(2, 10, 2), inverse=1)
    case((20,), "DFT", real(2, 4, 10, 1), given(16), given(1))
    case((20,), "DFT", real(2, 4, 10, 2), given(7))
    case((17,), "STFT", real(2, 40, 1), given(4), real(16))
    case((17,), "STFT", real(2, 41, 1), given(5), None, given(16), onesided=0)
    for numbers, edges in (((8, 64, 8000), (0, 4000)), ((40, 400, 16000), (20, 7600))):
        case((17,), "MelWeightMatrix", *(given(v, np.int32) for v in numbers),
             *(given(v, np.float32) for v in edges))


def add_fused_cases():
    def fused(operator, *operands, **rules):
        case((17,), "com.microsoft:" + operator, *operands, **rules)

    x, y = (whole(0, 256, 2, 4, 6, 5, dtype=np.uint8) for _ in range(2))
    scales = [given(v, np.float32) for v in (0.02, 0.03, 0.041)]
    zeros = [given(v, np.uint8) for v in (120, 131, 99)]
    one, other = (scales[0], zeros[0]), (scales[1], zeros[1])
    fused("QLinearAdd", x, *one, y, *other, scales[2], zeros[2])
    fused("QLinearMul", x, *one, y, *other, scales[2], zeros[2])
    fused("QLinearSigmoid", x, *one, *other)
    fused("QLinearLeakyRelu", x, *one, *other, alpha=0.2)
    fused("QLinearAveragePool", x, *one, scales[2], zeros[2], kernel_shape=[2, 2], strides=[2, 1])
    fused("QLinearGlobalAveragePool", x, *one, *other)
    fused("QLinearConcat", scales[2], zeros[2], x, *one, y, *other, axis=1)
    a, b = whole(0, 256, 3, 8, dtype=np.uint8), whole(-64, 64, 8, 4, dtype=np.int8)
    columns, points = positive(4).view(Given), given([0] * 4, np.int8)
    fused("MatMulIntegerToFloat", a, b, scales[0], scales[1], zeros[0], given(3, np.int8), real(4))
    fused("MatMulIntegerToFloat", a, b, scales[0], columns, zeros[0], points)
    fused("DynamicQuantizeMatMul", real(3, 8), b, scales[1], given(3, np.int8), real(4))
    image, weights = real(2, 3, 7, 6), real(4, 3, 3, 3)
    fused("FusedConv", image, weights, real(4), activation="Relu")
    fused("FusedConv", image, weights, activation="Clip", activation_params=[0.0, 0.5], pads=[1] * 4)
    fused("FusedConv", image, weights, real(4), real(2, 4, 5, 4), activation="LeakyRelu",
          activation_params=[0.1])
    fused("FusedGemm", real(3, 4), real(5, 4), real(5), alpha=0.5, transB=1, activation="Relu")
    fused("FusedGemm", real(3, 4), real(4, 5), activation="LeakyRelu", activation_alpha=0.2)
    fused("FusedGemm", real(3, 4), real(4, 5), real(5), activation="Tanh")
    # One step on numbers that onnxruntime's rounding leaves as they are.
    hidden, exact = 8, [whole(-128, 128, *shape) for shape in ((1, 1, 4), (2, 1, 8))]
    for numbers in exact:
        numbers[:, 0, :2] = -128, 127
    x, state = (numbers.astype(np.float32) / 128 for numbers in exact)
    weights = [whole(-64, 64, 2, n, 4 * hidden, dtype=np.int8).view(Given) for n in (4, hidden)]
    for size in ((2,), (2, 4 * hidden)):
        scale, zero = positive(*size).view(Given) / 64, given(np.zeros(size), np.int8)
        fused("DynamicQuantizeLSTM", x, *weights, given(real(2, 8 * hidden), np.float32), None, state,
              None, None, scale, zero, scale, zero, outputs=3, hidden_size=hidden,
              direction="bidirectional")


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
        domain, _, name = operator.rpartition(":")
        nodes.append(helper.make_node(name, names, results, domain=domain, **attributes))
        outputs += [helper.make_empty_tensor_value_info(name) for name in results]
        shapes = [getattr(operand, "shape", None) for operand in operands]
        texts.update({name: f"{operator}-{opset} {shapes} {attributes}" for name in results})
    graph = helper.make_graph(nodes, "operators", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
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


def check_random(rlx, folder):
    """Random numbers have no expected values: their distribution, that a seed fixes them, and that
    streams differ. The sentences of what is wrong."""
    shape = [200, 500]
    nodes = [helper.make_node("RandomNormal", [], ["normal"], shape=shape, mean=2.0, scale=3.0),
             helper.make_node("RandomUniformLike", ["normal"], ["uniform"], low=-1.0, high=3.0),
             helper.make_node("Bernoulli", ["probability"], ["coin"]),
             helper.make_node("RandomNormal", [], ["seeded"], shape=shape, seed=5.0),
             helper.make_node("RandomNormalLike", ["coin"], ["again"], seed=5.0)]
    names = [node.output[0] for node in nodes]
    probability = numpy_helper.from_array(np.full(shape, 0.3, np.float32), "probability")
    graph = helper.make_graph(nodes, "random", [], [helper.make_empty_tensor_value_info(name)
                                                    for name in names], [probability])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "random.onnx"
    path.write_bytes(model.SerializeToString())
    subprocess.run([rlx, "run", path, "--output", folder / "random.npz"], check=True,
                   capture_output=True)
    with np.load(folder / "random.npz") as got:
        values = {name: got[name].ravel().astype(np.float64) for name in names}
    wrong = []
    for name, mean, deviation in (("normal", 2, 3), ("uniform", 1, 4 / 12 ** 0.5),
                                  ("coin", 0.3, 0.21 ** 0.5), ("seeded", 0, 1)):
        found = values[name].mean(), values[name].std()
        if not np.allclose(found, (mean, deviation), atol=0.02 * deviation + 0.001):
            wrong.append(f"{name}: mean and deviation are {found}")
    if not np.array_equal(values["seeded"], values["again"]):
        wrong.append("one seed, two streams")
    mixed = np.corrcoef([values[name] for name in names[:4]]) - np.eye(4)
    return wrong + (["streams are correlated"] if np.abs(mixed).max() > 0.02 else [])


def main(rlx):
    for add in (add_shape_cases, add_math_cases, add_reduce_cases, add_window_cases, add_resize_cases,
                add_norm_cases, add_quantized_cases, add_recurrent_cases, add_late_cases, add_select_cases,
                add_attention_cases, add_microsoft_cases, add_einsum_cases, add_image_cases,
                add_signal_cases, add_fused_cases):
        add()
    onnxruntime.set_default_logger_severity(3)
    failed = total = 0
    with tempfile.TemporaryDirectory() as temporary:
        for opset in sorted({c[0] for c in cases}):
            wrong, count = check(rlx, opset, pathlib.Path(temporary))
            print("\n".join(wrong + [f"opset {opset}: {count} outputs, {len(wrong)} wrong"]), flush=True)
            failed, total = failed + len(wrong), total + count
        wrong = check_random(rlx, pathlib.Path(temporary))
        print("\n".join(wrong + [f"random numbers: {len(wrong)} wrong"]))
        failed, total = failed + len(wrong), total + 1
    print(f"{total - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1]))
