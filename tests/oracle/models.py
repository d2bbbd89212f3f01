#!/usr/bin/env python3
"""Real models through `rlx run` against onnxruntime: models.py RLX MODEL...

Each model runs at batch 1 and 3, at two sizes where its dims are dynamic, lazy and eager. An output
agrees when max|got - want| / max|want| is at most 1e-4. Run it by `scripts/fetch.py oracle`.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

FETCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "fetch.py"
TOLERANCE = 1e-4


def tokens(random, shape):
    return random.integers(0, 257, shape, np.int32)  # bytes, and 256 for padding


def noise(random, shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def page(random, shape):
    """Dark strokes in lines on white. In noise the detector sees no text, and onnxruntime's sigmoid
    rounds its answers, near 1e-7, to multiples of 6e-8: they tell nothing about rlx."""
    image = np.ones(shape, np.float32)
    for top in range(6, shape[2] - 12, 22):
        for left in range(6, shape[3] - 10, 10):
            for batch in range(shape[0]):
                x, y = left + random.integers(0, 7), top + random.integers(0, 11)
                image[batch, :, top:top + 12, x:x + 2] = -1
                image[batch, :, y:y + 2, left:left + 8] = -1
    return image


CASES = {  # model: (what makes its one input, the shapes of that)
    "magika": (tokens, [(1, 2048), (3, 2048)]),
    "orientation": (noise, [(1, 3, 224, 224), (3, 3, 224, 224)]),
    "ocr-detection": (page, [(1, 3, 64, 96), (3, 3, 64, 96), (1, 3, 160, 128), (3, 3, 160, 128)]),
}


def difference(got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"is {got.dtype}{list(got.shape)}, should be {want.dtype}{list(want.shape)}"
    error = np.abs(got - want).max() / np.abs(want).max()
    return None if error <= TOLERANCE else f"differs by {error:.2e}"  # so does NaN


def check(rlx, path, mode, inputs, want, folder):
    """What is wrong with the run of a model, or None."""
    np.savez(folder / "in.npz", **inputs)
    command = [rlx, "run", path, "--inputs", folder / "in.npz", "--output", folder / "out.npz",
               "--mode", mode, "--device", "cpu"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        return f"rlx run ended with {run.returncode}: {run.stderr.strip()}"
    with np.load(folder / "out.npz") as got:
        if set(got.files) != set(want):
            return f"outputs are {got.files}, should be {list(want)}"
        wrong = {name: difference(got[name], want[name]) for name in want}
    return "; ".join(f"{name} {text}" for name, text in wrong.items() if text) or None


def main(rlx, names):
    passed = failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            path = subprocess.run([FETCH, "model", name], check=True, capture_output=True,
                                  text=True).stdout.strip()
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            make_input, shapes = CASES[name]
            for shape in shapes:
                inputs = {session.get_inputs()[0].name: make_input(np.random.default_rng(7), shape)}
                outputs = [output.name for output in session.get_outputs()]
                want = dict(zip(outputs, session.run(outputs, inputs)))
                for mode in ("lazy", "eager"):
                    wrong = check(rlx, path, mode, inputs, want, pathlib.Path(temporary))
                    print(f"{name} {list(shape)} {mode}: {wrong or 'ok'}", flush=True)
                    passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1], sys.argv[2:] or list(CASES)))
