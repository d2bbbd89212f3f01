#!/usr/bin/env python3
"""bench.py BUILD [--only GLOB] [--peers LIST] [--rounds N] [--seconds S] [--quick] [--json FILE]
         [--write]

rlx beside every peer that is found, on the cases of cases.py: the same inputs, with one thread and
with two. Every peer is a process that stays, so that they run in turns of a fraction of a second;
least times count, since whatever else runs here only adds to them. The results are compared.

Measures also a first run, memory, what a neighbour busy on one core does, single operations, and
how cost grows beside what this machine can do at most. --write puts the tables and the chart into
docs/performance.md, if nothing was left out by --only or --quick. The last line counts the bars of
cases.py and the comparisons of results: ends with 1 if one is missed."""
import argparse
import contextlib
import fnmatch
import functools
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

import cases
import report
import tensors

HERE = pathlib.Path(__file__).resolve().parent
THREADS = (1, 2)
BUSY_LIMIT, BUSY_NOISE = 1.6, 1.05  # of the quiet time; of that of one thread
COSINE = 0.9999  # of an embedding in bf16, at least
# What is written by hand in python_peer.py; mlx_by_hand.cpp has all.
PYTHON_CASES = {"jax": ("matmul", "conv", "tiny_mlp", "minilm"), "numpy": ("matmul", "tiny_mlp")}
JUDGED = ["rlx", "rlx bf16", "onnxruntime"]
PAIR = ["rlx", "onnxruntime"]
PEERS = [*JUDGED, "rlx on MLX", "MLX", "MLX without OpenBLAS", "jax", "numpy"]


def counted(threads):
    return f"{threads} thread{'s' * (threads > 1)}"


# --- peers: processes that take turns

@functools.cache
def environment(threads):
    # An exported core type would slow OpenBLAS down on all sides.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    return kept | {"OPENBLAS_NUM_THREADS": str(threads)}


class Files:
    """A case on disk, in a folder that all its peers read."""

    def __init__(self, name, case, made, folder):
        self.name, self.case, (self.model, self.inputs, by_hand) = name, case, made
        self.folder, self.by_hand = pathlib.Path(folder), by_hand is not None
        onnx.save(self.model, self.folder / "model.onnx")
        tensors.write(self.folder / "inputs.safetensors", self.inputs)
        if self.by_hand:
            tensors.write(self.folder / "by_hand.safetensors", by_hand)

    def command(self, peer, build, threads, result):
        """What starts the peer, or None where it has nothing to run."""
        model = [self.folder / "model.onnx", self.folder / "inputs.safetensors", result, threads]
        hand = [self.case.hand, self.folder / "by_hand.safetensors", result]
        python = [sys.executable, HERE / "python_peer.py", peer]
        if peer.startswith("rlx"):
            how = {"rlx bf16": ["bf16"], "rlx on MLX": ["mlx"]}.get(peer, [])
            return [build / "bench" / "rlx_peer", *model, *how]
        if peer == "onnxruntime":
            return [*python, *model]
        if not self.by_hand:
            return None
        if peer.startswith("MLX"):
            return [build / "bench" / ("mlx_by_hand" if peer == "MLX" else "mlx_plain"), *hand]
        return [*python, *hand, threads] if self.case.hand in PYTHON_CASES[peer] else None


class Peer:
    def __init__(self, case, name, command, result, threads):
        self.case, self.name, self.turns = case, name, []
        begin = time.perf_counter()
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, env=environment(threads))
        self.ready = self.answer()
        self.ready["whole_ms"] = 1e3 * (time.perf_counter() - begin)
        self.results = tensors.read(result) if os.path.exists(result) else {}

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(f"{self.case}: {self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def turn(self, seconds):
        with contextlib.suppress(BrokenPipeError):  # the answer, then, is none
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
        return self.answer()

    def row(self, **key):
        return key | {"peer": self.name, "min_us": min(t["min_us"] for t in self.turns),
                      "median_us": sorted(t["median_us"] for t in self.turns)[len(self.turns) // 2],
                      "turns_us": [round(t["min_us"], 3) for t in self.turns]}

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def start(found, files, names, options, threads):
    """The peers of a case that can be started; a bar that cannot be judged for that is missed."""
    peers = []
    for name in names:
        result = files.folder / f"result {name}.safetensors"
        command = files.command(name, options.build, threads, result)
        if command is None or files.case.slow and name == "MLX without OpenBLAS":
            continue
        try:
            peers.append(Peer(files.name, name, command, result, threads))
        except ChildProcessError as error:
            if name in JUDGED:
                found.fail(error)
            else:
                print(f"# {error}", file=sys.stderr)
    return peers


def take_turns(peers, rounds, seconds):
    """Those that nothing is judged by get half the turns, and of those that take more than a second
    the first run counts."""
    for r in range(rounds):
        first = r % max(1, len(peers))
        for peer in peers[first:] + peers[:first]:
            if peer.name in JUDGED or r % 2 == 0 and peer.ready["first_ms"] < 1000:
                peer.turns.append(peer.turn(seconds))
    for peer in peers:
        if not peer.turns:
            us = peer.ready["first_ms"] * 1e3
            peer.turns = [{"min_us": us, "median_us": us, "n": 1}]


# --- a neighbour that keeps one core busy

class Neighbour:
    def __enter__(self):
        core = min(os.sched_getaffinity(0))
        spin = (f"import os\nos.sched_setaffinity(0, [{core}])\nprint(flush=True)\n"
                f"while os.getppid() == {os.getpid()}: pass")  # so it never outlives this one
        self.process = subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def beside_neighbour(peer, options):
    """Median times: the least ones would be those of moments when the neighbour did not run."""
    with Neighbour():
        return sorted(peer.turn(options.busy_seconds)["median_us"] for _ in range(3))


# --- comparing results

def difference(a, b):
    """Of the largest number in it, or of 1."""
    a, b = a.astype("f8"), b.astype("f8").reshape(a.shape)
    return float(np.abs(a - b).max(initial=0) / max(1, np.abs(a).max(initial=0)))


def apart(mine, other):
    """The largest difference of results that both have, those by hand being the first, "y"."""
    if set(other) == {"y"} and "y" not in mine or len(mine) == 1:
        first, y = next(iter(mine.values())), next(iter(other.values()))
        moved = y.ndim == 4 and y.shape != first.shape  # channels last by hand
        return difference(first, np.moveaxis(y, -1, 1) if moved else y)
    return max(difference(mine[k], other[k]) for k in mine if k in other)


def cosine(a, b):
    """Of embeddings, the means over the tokens: the least over the batch."""
    a, b = (x.astype("f8").mean(1) for x in (a, b))
    return float((np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def first_result(peer):
    return next(iter(peer.results.values()))


# --- what was found

class Findings:
    def __init__(self):
        self.rows, self.checks, self.growth, self.machine = [], [], [], {}

    def check(self, what, value, limit, good=None, **more):
        good = value <= limit if good is None else good
        self.checks.append(more | {"what": what, "value": value, "limit": limit, "ok": bool(good)})
        print(f"{'ok    ' if good else 'MISSED'} {what}: {value:.6g} (bar {limit:.6g})", flush=True)

    def fail(self, what):
        self.check(str(what), 1, 0, kind="result")

    def least(self, case, threads, peer, key="min_us"):
        for row in self.rows:
            if (row["case"], row["threads"], row["peer"]) == (case, threads, peer):
                return row[key]
        return None


def compare_results(found, name, threads, files, peers):
    case = files.case
    by_name = {p.name: p for p in peers if p.results}
    ours, ort = by_name.get("rlx"), by_name.get("onnxruntime")
    what = f"{name}, {counted(threads)}"
    for other in by_name.values() if ours else ():
        if other is ours or other.name == "rlx bf16" or case.exact and other is ort:
            continue
        found.check(f"{what}: difference to {other.name}", apart(ours.results, other.results),
                    case.limit, kind="result")
    if ort and "rlx bf16" in by_name:
        near = cosine(first_result(ort), first_result(by_name["rlx bf16"]))
        found.check(f"{what}: cosine of bf16", near, COSINE, near >= COSINE, kind="result")
    if ours and ort and case.exact:
        exact = full_precision(case.exact, files.inputs)
        near, theirs = (cosine(exact, first_result(p)) for p in (ours, ort))
        found.check(f"{what}: cosine with f32, bar: that of onnxruntime", near, theirs,
                    near >= theirs - 1e-4, kind="result")


def full_precision(name, inputs):
    import onnxruntime
    session = onnxruntime.InferenceSession(cases.fetched(name), providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: inputs[i.name] for i in session.get_inputs()})[0]


# --- the parts of the run

def measure_case(found, name, case, options, peers):
    """What has no bars is only looked at: with half the turns."""
    made = case.make()
    if made is None:
        print(f"# {name}: its file cannot be had: left out", file=sys.stderr)
        return
    rounds = options.rounds if case.bars else (options.rounds + 1) // 2
    with tempfile.TemporaryDirectory() as folder:
        files = Files(name, case, made, folder)
        for threads in THREADS:
            here = start(found, files, peers, options, threads)
            take_turns(here, rounds, options.seconds)
            found.rows += [p.row(case=name, threads=threads) for p in here]
            compare_results(found, name, threads, files, here)
            for peer in case.bars:
                check_bar(found, name, threads, peer, case)
            ours = next((p for p in here if p.name == "rlx"), None)
            if case.bars and ours and threads == max(THREADS):
                check_neighbour(found, name, threads, beside_neighbour(ours, options))
            for peer in here:
                peer.end()


def check_bar(found, name, threads, peer, case):
    ours, ort = found.least(name, threads, peer), found.least(name, threads, "onnxruntime")
    if ours and ort:
        found.check(f"{name}, {counted(threads)}: {peer} / onnxruntime",
                    ours / ort, case.bars[peer], kind="bar", case=name, threads=threads, peer=peer,
                    us=ours, ort_us=ort)
    if ours and case.most_us:
        found.check(f"{name}, {counted(threads)}: us", ours, case.most_us, kind="plain")


def check_neighbour(found, name, threads, turns):
    busy = turns[len(turns) // 2]
    quiet = found.least(name, threads, "rlx", "median_us")
    alone = found.least(name, 1, "rlx", "median_us")
    found.rows.append({"case": name, "threads": threads, "peer": "rlx beside a busy process",
                       "min_us": turns[0], "median_us": busy, "turns_us": turns})
    found.check(f"{name}: busy neighbour / quiet", busy / quiet, BUSY_LIMIT, kind="busy", case=name,
                us=busy, quiet_us=quiet, alone_us=alone)
    found.check(f"{name}: busy neighbour / one thread alone", busy / alone, BUSY_NOISE,
                kind="alone", case=name)


def measure_starts(found, options):
    """Processes that load MiniLM, run once and end; the files are in the cache. The time of ours is
    that of the whole process, that of onnxruntime what its calls take: Python is not counted
    against it, neither in time nor in memory."""
    name = "minilm 1x128"
    case = cases.CASES[name]
    made = case.make()
    if made is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        files = Files(name, cases.Case(case.make), (*made[:2], None), folder)
        for threads in THREADS:
            seen = {peer: [] for peer in PAIR}
            for _ in range(options.starts):
                for name_of in seen:
                    command = files.command(name_of, options.build, threads, "-")
                    peer = Peer(name, name_of, command, "-", threads)
                    peer.end()
                    seen[name_of].append(peer.ready)
            report_starts(found, threads, seen)


def report_starts(found, threads, seen):
    def least(peer, value):
        return min(map(value, seen[peer]))
    inside = [least(p, lambda r: r["load_ms"] + r["first_ms"]) for p in seen]
    whole = least("rlx", lambda r: r["whole_ms"])
    memory = [least("rlx", lambda r: r["peak_mb"]),
              least("onnxruntime", lambda r: r["peak_mb"] - r["base_mb"])]
    found.check(f"load and first run of MiniLM, whole process, {counted(threads)}",
                whole / inside[1], 0.40, kind="start", threads=threads, inside_ms=inside[0],
                ms=whole, ort_ms=inside[1])
    found.check(f"peak memory of MiniLM 1x128, {counted(threads)}", memory[0] / memory[1], 0.70,
                kind="memory", threads=threads, mb=memory[0], ort_mb=memory[1])
    found.rows += [{"case": "load and first run of minilm", "threads": threads, "peer": p,
                    "min_us": us, "median_us": us, "turns_us": [us]}
                   for p, us in (("rlx", whole * 1e3), ("onnxruntime", inside[1] * 1e3))]


def measure_machine(options):
    machine = {}
    for threads in THREADS:
        told = json.loads(subprocess.check_output([options.build / "bench" / "peak", str(threads)]))
        machine |= {f"{key}_{threads}": value for key, value in told.items()}
    return machine


def product_work(model, inputs):
    """Floating-point operations of all products and convolutions, by the shapes that onnxruntime
    tells when it runs the model as it stands; and bytes of their weights, which every run reads."""
    import onnxruntime
    products = [n for n in model.graph.node if n.op_type in ("MatMul", "Gemm", "Conv",
                                                             "ConvTranspose")]
    weights = {i.name: tuple(i.dims) for i in model.graph.initializer}
    told = weights | {k: v.shape for k, v in inputs.items()}
    wanted = sorted({v for n in products for v in (*n.input[:2], n.output[0])} - set(told))
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    del seen.graph.output[:]
    seen.graph.output.extend(onnx.ValueInfoProto(name=v) for v in wanted)
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(seen.SerializeToString(), settings,
                                           providers=["CPUExecutionProvider"])
    told |= {k: v.shape for k, v in zip(wanted, session.run(wanted, inputs))}
    flops = 0
    for n in products:
        x, w, y = (told[v] for v in (*n.input[:2], n.output[0]))
        terms = {"Conv": np.prod(w[1:]), "ConvTranspose": np.prod(w[1:])}.get(n.op_type, x[-1])
        flops += 2 * int(terms) * int(np.prod(x if n.op_type == "ConvTranspose" else y))
    return flops, 4 * sum(int(np.prod(weights[v])) for v in
                          {n.input[1] for n in products} if v in weights)


def measure_growth(found, options):
    threads = max(THREADS)
    peak, read = (found.machine[f"{key}_{threads}"] for key in ("gflops", "read_gbs"))
    for family, members in cases.GROWTH.items():
        for name, case in members.items():
            made = case.make()
            if made is None:
                continue
            flops, size = product_work(*made[:2])
            with tempfile.TemporaryDirectory() as folder:
                here = start(found, Files(name, case, made, folder), PAIR, options,
                             threads)
                take_turns(here, (options.rounds + 1) // 2, options.seconds)
                for peer in here:
                    peer.end()
            times = {p.name: min(t["min_us"] for t in p.turns) for p in here}
            if "rlx" not in times:
                continue
            found.rows += [p.row(case=f"{family} {name}", threads=threads) for p in here]
            found.growth.append({"family": family, "size": name, "flops": flops, "bytes": size,
                                 "us": times["rlx"], "ort_us": times.get("onnxruntime"),
                                 "compute_us": flops / peak / 1e3, "memory_us": size / read / 1e3})


def describe():
    def of(*command):
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, cwd=HERE)
        return answer.stdout.strip()
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "date": time.strftime("%Y-%m-%d"),
            "commit": of("git", "describe", "--always", "--dirty"), "load": os.getloadavg()[0]}


def present(peer):
    """Whether Python has what the peer needs."""
    module = {"jax": "jax", "numpy": "numpy", "onnxruntime": "onnxruntime"}.get(peer)
    return module is None or importlib.util.find_spec(module) is not None


def main(options):
    found = Findings()
    asked = options.peers.split(",") if options.peers else PEERS
    peers = [p for p in asked if present(p)]
    for peer in set(asked) - set(peers):
        print(f"# {peer} is not installed here: left out", file=sys.stderr)
    found.machine = describe() | measure_machine(options)
    parts = {name: functools.partial(measure_case, found, name, case, options,
                                     [p for p in peers if p != "rlx bf16" or p in case.bars])
             for name, case in cases.CASES.items()}
    parts |= {f"kernel {name}": functools.partial(measure_case, found, f"kernel {name}", case,
                                                  options, [p for p in peers if p in PAIR])
              for name, case in cases.KERNELS.items()}
    if "onnxruntime" in peers:
        parts |= {"start": functools.partial(measure_starts, found, options),
                  "growth": functools.partial(measure_growth, found, options)}
    for name, part in parts.items():
        if fnmatch.fnmatch(name, options.only):
            try:
                part()
            except ChildProcessError as error:
                found.fail(error)
    if options.json:
        options.json.write_text(json.dumps(vars(found), indent=1) + "\n")
    print(report.tables(found, PEERS))
    if options.write and options.only == "*" and not options.quick:
        report.write(found, PEERS, HERE.parent / "docs")
    judged = [c for c in found.checks if c["kind"] == "result" or not options.quick]
    missed = sum(not c["ok"] for c in judged)
    print(f"{len(judged) - missed} passed, {missed} failed")
    return 1 if missed else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--only", default="*", help="cases, `kernel NAME`, `start`, `growth`")
    parser.add_argument("--peers", help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--quick", action="store_true", help="short turns, no time is judged")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 0.03
    options.busy_seconds, options.starts = 3 * options.seconds, options.rounds + 1
    return options


if __name__ == "__main__":
    sys.exit(main(parse()))
