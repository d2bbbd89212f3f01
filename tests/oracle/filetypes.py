#!/usr/bin/env python3
"""examples/filetypes against the magika package: filetypes.py FILETYPES FILE...

Tries the files named, and files made here for the corners of the format. The labels must be the same
and the scores agree within 1e-3: for some files the model is so badly conditioned that float answers,
onnxruntime's too, are that far from those in double. Run it by `scripts/fetch.py oracle`.
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import zlib

FETCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "fetch.py"
MODEL = subprocess.run([FETCH, "model", "magika"], check=True, capture_output=True, text=True).stdout
FOLDER = pathlib.Path(MODEL.strip()).parents[2]
sys.path.insert(0, str(FOLDER.parent))
import magika


def corners():
    """name: content"""
    noise = random.Random(1).randbytes(6000)
    code = b"int main(void) { return 0; }\n"
    return {
        "few": b"1234567",
        "few_after_strip": b" " * 5000 + b"abc",
        "least": b"12345678",
        "stripped": b"\n\t \v\f\r" * 100 + code * 3 + b" \n" * 700,
        "hidden": b" " * 4096 + code + b"\n" * 4096,
        "one_block": (code * 200)[:4096],
        "over_a_block": (code * 200)[:4097],
        "noise": noise,
        "words": " ".join(random.Random(2).choices("lorem ipsum dolor sit amet".split(), k=400)).encode(),
        "zlib": zlib.compress(code * 100 + noise),
        "bytes": bytes(range(256)) * 8,
    }


def agrees(words, want):
    if want.dl.label == "undefined":  # the model was not asked
        return words == ["too", "short"]
    return words[0] == want.output.label and abs(float(words[1]) - want.score) < 1e-3


def main(program, files):
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in corners().items():
            path = pathlib.Path(temporary, name)
            path.write_bytes(content)
            files.append(str(path))
        lines = subprocess.run([program, FOLDER, *files], check=True, stdout=subprocess.PIPE,
                               text=True).stdout.splitlines()
        oracle = magika.Magika()
        results = [oracle.identify_path(path) for path in files]  # one by one, as the example does
    failed = 0
    for line, want in zip(lines, results, strict=True):
        if not agrees(line.removeprefix(str(want.path)).split(), want):
            print(f"{line}: should be {want.output.label} {want.score:.4f}")
            failed += 1
    print(f"{len(files) - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
