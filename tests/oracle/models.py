#!/usr/bin/env python3
"""Real models through the command rlx against onnxruntime: models.py RLX MODEL...

Each model runs on random and on realistic inputs, at batch 1 and 3, at two sizes where its dims are
dynamic, in every mode. A model with state runs over several frames and carries its own state. An
output agrees when max|got - want| is at most 1e-4 max|want|; that of a quantised model when it is
nearer to onnxruntime's than onnxruntime's is to that of the f32 model. Without names all models
run, and each once more with MLX's compiler on the CPU, where g++ is there, which takes a minute or
so for each. Run it by `scripts/fetch.py oracle`.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4
ROUNDING = 1e-6  # of sigmoid and softmax: onnxruntime's are multiples of 6e-8 near 0, too
MODES = ("lazy", "eager", "compiled", "async")
REPLAYS = ("compiled", "traced")  # what the first runs record, the last one replays
NOT_TO_BE_HAD = 77  # what fetch.py ends with


# --- inputs: each maker takes a random generator and a shape

def noise(random, shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def photo(random, shape):
    """Blocks of many sizes: smooth areas, edges and grain."""
    image = np.zeros(shape)
    for size in (64, 16, 4, 1):
        coarse = random.uniform(-1, 1, (*shape[:2], -(-shape[2] // size), -(-shape[3] // size)))
        image += np.kron(coarse, np.ones((size, size)))[:, :, :shape[2], :shape[3]] * size
    return (image / np.abs(image).max()).astype(np.float32)


LETTERS = ["7e1111117e", "3e41414122", "7f49494941", "7f0808087f", "00417f4100", "7f40404040",
           "7f0408107f", "3e4141413e", "7f09192946", "4649494931", "01017f0101", "6314081463",
           "4261514946"]  # A C E H I L N O R S T X 2: a byte per column, the lowest bit on top


def page(random, shape):
    """Lines of dark letters on white."""
    image = np.ones(shape, np.float32)
    scale = 4 if shape[2] == 48 else 2  # one line, as the recogniser reads it, or many
    glyphs = [np.kron(np.unpackbits(np.frombuffer(bytes.fromhex(letter), np.uint8)[None], axis=0,
                                    bitorder="little")[:7], np.ones((scale, scale)))
              for letter in LETTERS]
    height, width = glyphs[0].shape
    for one in image:
        for top in range(2 * scale, shape[2] - height, 11 * scale):
            for left in range(2 * scale, shape[3] - width, 6 * scale):
                if random.random() < 0.85:  # else a space
                    glyph = glyphs[random.choice(len(glyphs))]
                    one[:, top:top + height, left:left + width] -= 2 * glyph
    return image


def tokens(random, shape):
    return random.integers(0, 257, shape, np.int32)  # bytes, and 256 for padding


def files(random, shape):
    """The first and the last bytes of files of this repository, as magika wants them."""
    rows, half = np.full(shape, 256, np.int32), shape[1] // 2
    for row, name in zip(rows, ("README.md", "Makefile", "tests/oracle/models.py")):
        content = np.frombuffer((ROOT / name).read_bytes().strip(), np.uint8)
        row[:half][:len(content)] = content[:half]
        row[half:][-len(content):] = content[-half:]
    return rows


def speech(time):
    """A gliding voice: harmonics under two formants, in syllables."""
    pitch = 140 + 40 * np.sin(4 * time)
    phase = 2 * np.pi * np.cumsum(pitch) * (time[1] - time[0])
    voice = sum(np.sin(k * phase) * sum(np.exp(-((k * pitch - f) / 200) ** 2) for f in (500, 1500))
                for k in range(1, 20))
    return voice * np.sin(12 * time) ** 2 * 0.2


def chirp(time):
    return 0.5 * np.sin(2 * np.pi * (100 + 1500 * time) * time)


# --- the cases of each model: a label, and the inputs of one run or of several in sequence

def batches(name, makers, *sizes):
    """Cases of a model with one input: each maker at each size, without its batch."""
    def cases(random):
        for shape in ((batch, *size) for size in sizes for batch in (1, 3)):
            for make in makers:
                yield f"{make.__name__} {list(shape)}", [{name: make(random, shape)}]
    return cases


def texts(random):
    tokenizer = tokenizers.Tokenizer.from_file(str(fetch("minilm") / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.no_truncation()
    lines = ["A cat sat on the mat.", "naïve café, 東京! 12:30", "The quick brown fox. " * 12]
    for label, part in (("text", lines[:1]), ("long text", lines[2:]), ("texts", lines)):
        codes = tokenizer.encode_batch(part)
        ids, mask = ([getattr(code, name) for code in codes] for name in ("ids", "attention_mask"))
        yield label, [bert(np.array(ids), np.array(mask))]
    for shape in ((1, 16), (3, 40)):
        yield f"noise {list(shape)}", [bert(random.integers(0, 30522, shape), np.ones(shape, int))]


def bert(ids, mask):
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def frames(random):
    """A tenth of a second of sound in frames with the last samples of the frame before."""
    for rate, size, context in ((16000, 512, 64), (8000, 256, 32)):
        time = np.arange(context + 3 * size) / rate
        sounds = np.stack([speech(time), random.uniform(-1, 1, time.shape), chirp(time), 0 * time])
        for batch, label in ((1, "speech"), (3, "noise, chirp, silence")):
            sound = sounds[:1] if batch == 1 else sounds[1:]
            yield f"{label} {rate} Hz", [
                {"input": sound[:, at:at + context + size].astype(np.float32),
                 "state": np.zeros((2, batch, 128), np.float32), "sr": np.array(rate)}
                for at in range(0, 3 * size, size)]


PICTURES = (noise, photo, page)
MODELS = {  # name: (its cases, which output is which input of the next run, its model in f32)
    "magika": (batches("bytes", (tokens, files), (2048,)), {}, None),
    "orientation": (batches("x", PICTURES, (3, 224, 224)), {}, None),
    "ocr-detection": (batches("x", PICTURES, (3, 64, 96), (3, 160, 128)), {}, None),
    "ocr-recognition": (batches("x", PICTURES, (3, 48, 96), (3, 48, 200)), {}, None),
    "silero": (frames, {"stateN": "state"}, None),
    "minilm-onnx": (texts, {}, None),
    "minilm-int8": (texts, {}, "minilm-onnx"),
}


# --- runs

def fetch(name):
    command = [ROOT / "scripts" / "fetch.py", "model", name]
    return pathlib.Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                        .stdout.strip())


def run_onnxruntime(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def run_rlx(rlx, path, mode, folder):
    where = {**os.environ, "RLX_MLX_TRACE": "cpu"} if mode == "traced" else None

    def run(inputs):
        np.savez(folder / "in.npz", **inputs)
        command = ["bench", "--min-seconds", "0", "--mode", "compiled"] if mode in REPLAYS else [
            "run", "--mode", mode]
        command += ["--device", "cpu", "--inputs", folder / "in.npz",
                    "--output", folder / "out.npz", path]
        done = subprocess.run([rlx, *command], capture_output=True, text=True, env=where)
        if done.returncode != 0:
            raise RuntimeError(f"rlx {command[0]}: {done.returncode}, {done.stderr.strip()}")
        with np.load(folder / "out.npz") as outputs:
            return dict(outputs)
    return run


def sequence(run, inputs, carry):
    """The outputs of each run; what `carry` names goes from one run to the next."""
    found, carried = [], {}
    for given in inputs:
        found.append(run({**given, **carried}))
        carried = {into: found[-1][output] for output, into in carry.items()}
    return found


def difference(got, want, exact):
    """What is wrong with an output, or None. `exact` is that of the f32 model or None."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"is {got.dtype}{list(got.shape)}, should be {want.dtype}{list(want.shape)}"
    error = np.abs(got - want).max()
    limit = TOLERANCE * np.abs(want).max() + ROUNDING
    if exact is not None:
        limit = np.abs(want - exact).max()
    return None if error <= limit else f"differs by {error:.2e}, may by {limit:.2e}"  # so does NaN


def check(run, inputs, carry, want, exact):
    """What is wrong with the runs of a model, or None."""
    try:
        got = sequence(run, inputs, carry)
    except RuntimeError as error:
        return str(error)
    if any(set(one) != set(other) for one, other in zip(got, want)):
        return f"outputs are {list(got[0])}, should be {list(want[0])}"
    wrong = []
    for i, wanted in enumerate(want):
        for k, name in enumerate(wanted):
            text = difference(got[i][name], wanted[name], exact and list(exact[i].values())[k])
            wrong += [f"{name} of run {i} {text}"] * bool(text)
    return "; ".join(wrong) or None


def main(rlx, names):
    more = ["traced"] if not names and shutil.which("g++") else []
    count = {"ok": 0, "wrong": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name in names or MODELS:
            make, carry, other = MODELS[name]
            try:
                path, other = fetch(name), other and run_onnxruntime(fetch(other))
            except subprocess.CalledProcessError as error:
                if error.returncode != NOT_TO_BE_HAD:
                    raise
                print(f"{name}: skipped, as fetch.py says above", flush=True)
                count["skipped"] += 1
                continue
            oracle, extra = run_onnxruntime(path), more
            for label, inputs in make(np.random.default_rng(7)):
                want = sequence(oracle, inputs, carry)
                exact = other and sequence(other, inputs, carry)
                for mode in (*MODES, *extra):
                    run = run_rlx(rlx, path, mode, pathlib.Path(folder))
                    wrong = check(run, inputs, carry, want, exact)
                    print(f"{name}, {label}, {mode}: {wrong or 'ok'}", flush=True)
                    count["wrong" if wrong else "ok"] += 1
                extra = []
    print(f"{count['ok']} passed, {count['wrong']} failed, {count['skipped']} skipped")
    return count["wrong"] > 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
