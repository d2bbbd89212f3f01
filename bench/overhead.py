#!/usr/bin/env python3
"""bench/overhead.py RLX MLX_BY_HAND [ROUNDS]: what rlx adds to MLX.

Runs `rlx bench` and the same graph written against MLX in C++, in turns, and prints for each graph
the least time of each, since others on the machine only add to it, and their ratio. Ends with 1 if a
ratio is above 1.1."""
import json
import os
import struct
import subprocess
import sys
import tempfile

LIMIT = 1.1
SECONDS = "2"


def matmul():
    return """graph "matmul" {
  %1 = input name="x" dtype=f32 dims=[1024,1024]
  %2 = input name="w" dtype=f32 dims=[1024,1024]
  %3 = matmul(%1, %2)
  return %3 "y"
}
"""


def chain():
    """The 64 operations of mlx_by_hand.cpp: tanh, add a half, double, and again."""
    lines = ['graph "chain" {', '  %1 = input name="x" dtype=f32 dims=[256]',
             "  %2 = constant data=f32[]{0.5}", "  %3 = constant data=f32[]{2}"]
    y = 1
    for i in range(64):
        step = (f"tanh(%{y})", f"add(%{y}, %2)", f"mul(%{y}, %3)")[i % 3]
        y = i + 4
        lines.append(f"  %{y} = {step}")
    return "\n".join(lines + [f'  return %{y} "y"', "}", ""])


def write_model(path, text):
    """A .rlx file is a safetensors file whose metadata holds the graph's text."""
    header = json.dumps({"__metadata__": {"format": "rlx-1", "rlx": text}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)


def least_us(command):
    # An exported core type would slow OpenBLAS down on both sides.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                            env=environment)
    return json.loads(output.stdout)["min_us"]


def main(rlx, by_hand, rounds=5):
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for graph in (matmul, chain):
            model = os.path.join(folder, graph.__name__ + ".rlx")
            write_model(model, graph())
            ours, theirs = [], []
            for _ in range(int(rounds)):
                ours.append(least_us([rlx, "bench", model, "--json", "--random", "1", "--mode",
                                       "lazy", "--device", "cpu", "--min-seconds", SECONDS]))
                theirs.append(least_us([by_hand, graph.__name__, SECONDS]))
            a, b = min(ours), min(theirs)
            print(f"{graph.__name__:8} rlx {a:9.1f} us   by hand {b:9.1f} us   ratio {a / b:.3f}")
            worst = max(worst, a / b)
    return worst > LIMIT


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
