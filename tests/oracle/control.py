#!/usr/bin/env python3
"""Models whose data decides what runs and what sizes come out, through `rlx run` in every mode against
onnxruntime: control.py RLX. Each model runs with several inputs, so that stages are prepared anew for
what arrives. Run it by `scripts/fetch.py oracle`.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MODES = ("lazy", "eager", "compiled", "async")
DTYPES = {"f32": TensorProto.FLOAT, "i64": TensorProto.INT64, "bool": TensorProto.BOOL}
random = np.random.default_rng(1)


def value(name, dtype="f32", shape=None):
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def branch(outputs, *nodes):
    return helper.make_graph(nodes, "branch", [], [value(name) for name in outputs.split()])


def model(nodes, inputs, outputs, constants):
    constants = [numpy_helper.from_array(np.array(item), name) for name, item in constants.items()]
    graph = helper.make_graph(nodes, "model", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def real(*shape):
    return random.standard_normal(shape).astype(np.float32)


def selection():
    """The positive elements: how many there are is known only in the middle of the run."""
    nodes = [node("Greater", "x zero", "positive"), node("NonZero", "positive", "places"),
             node("Transpose", "places", "rows"), node("GatherND", "x rows", "kept"),
             node("TopK", "kept k", "best at"), node("Shape", "kept", "shape"),
             node("ConstantOfShape", "shape", "zeros"), node("Sub", "zeros kept", "negated")]
    made = model(nodes, [value("x", "f32", ["a", "b"]), value("k", "i64", [1])],
                 [value("kept"), value("best"), value("at", "i64"), value("negated")],
                 {"zero": np.float32(0)})
    return made, [{"x": real(4, 5), "k": np.array([2])}, {"x": real(7, 3), "k": np.array([5])}]


def growing_loop():
    """A carried value that grows, a stacked one, a captured one, an If in the body."""
    body = helper.make_graph(
        [node("Gather", "x i", "row"), node("ReduceSum", "row", "sum", keepdims=0),
         node("Greater", "sum zero", "up"),
         node("If", "up", "next", then_branch=branch("a", node("Neg", "row", "a")),
              else_branch=branch("b", node("Mul", "row two", "b"))),
         node("Concat", "all next", "more", axis=0), node("Identity", "go", "on")],
        "body", [value("i", "i64", []), value("go", "bool", []), value("all")],
        [value("on", "bool"), value("more"), value("next")])
    nodes = [node("Shape", "x", "shape"), node("Gather", "shape first", "rows"),
             helper.make_node("Loop", ["rows", "", "start"], ["all_rows", "stacked"], body=body),
             node("ReduceMax", "stacked", "largest", keepdims=0)]
    made = model(nodes, [value("x", "f32", ["a", "b"])],
                 [value("all_rows"), value("stacked"), value("largest")],
                 {"first": np.int64(0), "zero": np.float32(0), "two": np.float32(2),
                  "start": np.float32([7])})
    return made, [{"x": real(4, 5)}, {"x": real(9, 2)}, {"x": real(1, 3)}]


def conditional_loop():
    """A loop without a limit, until the condition fails."""
    body = helper.make_graph(
        [node("Mod", "v two", "rest"), node("Equal", "rest one", "odd"),
         node("Mul", "v three", "v3"), node("Add", "v3 one", "up"), node("Div", "v two", "down"),
         node("Where", "odd up down", "next"), node("Greater", "next one", "on"),
         node("Identity", "next", "seen")],
        "body", [value("i", "i64", []), value("go", "bool", []), value("v", "i64", [])],
        [value("on", "bool"), value("next", "i64"), value("seen", "i64")])
    made = model([helper.make_node("Loop", ["", "yes", "x"], ["last", "walk"], body=body)],
                 [value("x", "i64", [])], [value("last", "i64"), value("walk", "i64")],
                 {"yes": True, "one": np.int64(1), "two": np.int64(2), "three": np.int64(3)})
    return made, [{"x": np.array(7)}, {"x": np.array(27)}]


def scan():
    """Two states and two walked inputs, one from its end, one along another axis."""
    body = helper.make_graph(
        [node("Add", "s a", "s2"), node("Mul", "p b", "p2"), node("Sub", "s2 p2", "y"),
         node("Mul", "y factor", "z")],
        "body", [value(name, "f32", ["n"]) for name in ("s", "p", "a", "b")],
        [value(name, "f32", ["n"]) for name in ("s2", "p2", "y", "z")])
    nodes = [node("Scan", "s0 p0 as bs", "s1 p1 ys zs", body=body, num_scan_inputs=2,
                  scan_input_axes=[0, 1], scan_input_directions=[0, 1], scan_output_axes=[0, 1],
                  scan_output_directions=[1, 0])]
    made = model(nodes, [value("s0", "f32", ["n"]), value("p0", "f32", ["n"]),
                         value("as", "f32", ["t", "n"]), value("bs", "f32", ["n", "t"]),
                         value("factor", "f32", [1])],
                 [value(name) for name in ("s1", "p1", "ys", "zs")], {})
    return made, [{"s0": real(n), "p0": real(n), "as": real(t, n), "bs": real(n, t),
                   "factor": real(1)} for t, n in ((3, 4), (6, 2))]


def computed_sizes():
    """Shapes, ends and steps that are inputs."""
    nodes = [node("Reshape", "x shape", "r"), node("Slice", "r from to", "s"),
             node("Range", "low high step", "line"), node("Expand", "line lines", "ex"),
             node("Tile", "s times", "tiled")]
    made = model(nodes, [value("x", "f32", ["a", "b"]), value("shape", "i64", [3]),
                         value("from", "i64", [1]), value("to", "i64", [1]), value("low", "f32", []),
                         value("high", "f32", []), value("step", "f32", []), value("lines", "i64", [2]),
                         value("times", "i64", [3])],
                 [value("s"), value("ex"), value("tiled")], {})
    single = np.float32
    return made, [{"x": real(4, 6), "shape": np.array([2, -1, 3]), "from": np.array([0]),
                   "to": np.array([1]), "low": np.array(0, single), "high": np.array(3, single),
                   "step": np.array(0.5, single), "lines": np.array([2, 6]), "times": np.array([1, 2, 3])},
                  {"x": real(2, 5), "shape": np.array([0, 5, 1]), "from": np.array([-1]),
                   "to": np.array([99]), "low": np.array(5, single), "high": np.array(0, single),
                   "step": np.array(-1, single), "lines": np.array([3, 1]), "times": np.array([2, 1, 1])}]


def squeezed():
    """The rank of what follows depends on a size, as PyTorch exports a squeeze."""
    nodes = [node("Shape", "x", "size", start=1, end=2), node("Equal", "size one", "flat"),
             node("If", "flat", "y", then_branch=branch("q", node("Squeeze", "x axis", "q")),
                  else_branch=branch("p", node("Identity", "x", "p"))),
             node("Exp", "y", "e"), node("ReduceSum", "e", "sum", keepdims=0)]
    made = model(nodes, [value("x", "f32", ["a", "b"])], [value("sum", "f32", [])],
                 {"one": np.int64([1]), "axis": np.int64([1])})
    return made, [{"x": real(4, 1)}, {"x": real(4, 3)}]


def difference(got, want):
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{list(got.shape)}, wanted {want.dtype}{list(want.shape)}"
    return "" if np.allclose(got, want, rtol=1e-5, atol=1e-5) else "other numbers"


def check(rlx, made, feeds, folder):
    """The sentences of what is wrong, and how many runs there were."""
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(path)
    wrong = []
    for index, feed in enumerate(feeds):
        want = session.run(None, feed)
        np.savez(folder / "in.npz", **feed)
        for mode in MODES:
            run = subprocess.run([rlx, "run", path, "--inputs", folder / "in.npz", "--output",
                                  folder / "out.npz", "--mode", mode], capture_output=True, text=True)
            text = run.stderr.strip()
            if run.returncode == 0:
                with np.load(folder / "out.npz") as got:
                    parts = {o.name: difference(got[o.name], w) for o, w in zip(session.get_outputs(), want)}
                text = "; ".join(f"{name}: {part}" for name, part in parts.items() if part)
            if text:
                wrong.append(f"inputs {index}, {mode}: {text}")
    return wrong, len(feeds) * len(MODES)


def main(rlx):
    onnxruntime.set_default_logger_severity(3)
    failed = total = 0
    with tempfile.TemporaryDirectory() as temporary:
        for make in (selection, growing_loop, conditional_loop, scan, computed_sizes, squeezed):
            wrong, count = check(rlx, *make(), pathlib.Path(temporary))
            print("\n".join(wrong + [f"{make.__name__}: {count} runs, {len(wrong)} wrong"]), flush=True)
            failed, total = failed + len(wrong), total + count
    print(f"{total - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1]))
