#!/usr/bin/env python3
"""`rlx embed` against BERT in numpy, in double: encoder.py RLX

MiniLM, and small models with random weights whose folders differ in what they hold. Vectors agree
when max|got - want| / max|want| is at most 1e-5, whatever the batch. Run it by `scripts/fetch.py
oracle`.
"""
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import tokenizers
from tokenizers.implementations import BertWordPieceTokenizer

FETCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "fetch.py"
TOLERANCE = 1e-5
TEXTS = ["a cat", "the quick brown fox jumps over the lazy dog", "", "x", "one", "two words",
         "na\u00efve caf\u00e9, \u6771\u4eac!", "word " * 300, "12:30 [MASK] don't", "Z" * 150]
MODES = ("lazy", "eager", "compiled", "async")
FLAGS = ([], ["--batch", "1"], ["--batch", "3"], *(["--mode", mode] for mode in MODES))
DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def load_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[8 + size:][slice(*entry["data_offsets"])],
                                DTYPES[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items()}


def save_safetensors(path, tensors):
    header, body = {}, b""
    for name, array in tensors.items():
        dtype = next(name for name, kind in DTYPES.items() if kind == array.dtype)
        header[name] = {"dtype": dtype, "shape": array.shape,
                        "data_offsets": [len(body), len(body) + array.nbytes]}
        body += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


ACTIVATIONS = {
    "gelu": lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "gelu_new": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
    "relu": lambda x: np.maximum(x, 0),
}


def bert(weights, config, ids):
    """Hidden states of one text, [tokens, width]. The names in `weights` have no prefix."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    heads = config["num_attention_heads"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return x * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]

    def split(x):
        return x.reshape(len(ids), heads, -1).swapaxes(0, 1)

    table = "embeddings.{}_embeddings.weight".format
    x = w[table("word")][ids] + w[table("position")][:len(ids)] + w[table("token_type")][0]
    x = norm(x, "embeddings")
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        q, k, v = (split(linear(x, f"{layer}.attention.self.{name}"))
                   for name in ("query", "key", "value"))
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(x.shape)
        x = norm(linear(seen, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output")
        inner = ACTIVATIONS[config["hidden_act"]](linear(x, f"{layer}.intermediate.dense"))
        x = norm(linear(inner, f"{layer}.output.dense") + x, f"{layer}.output")
    return x


def vectors(weights, config, tokenizer, cls=False, normalize=True):
    states = [bert(weights, config, tokenizer.encode(text).ids) for text in TEXTS]
    found = np.stack([x[0] if cls else x.mean(0) for x in states])
    return found / np.linalg.norm(found, axis=1, keepdims=True) if normalize else found


def check(rlx, name, folder, want, more=()):
    """Is every vector right, in batches of any size?"""
    right = True
    for flags in FLAGS:
        command = [rlx, "embed", "--model", folder, "--json", "--device", "cpu", *flags, *more]
        run = subprocess.run([*command, "--", *TEXTS], capture_output=True, text=True)
        if run.returncode != 0:
            print(f"{name} {flags}: rlx embed ended with {run.returncode}: {run.stderr.strip()}")
            return False
        got = np.array([found["vector"] for found in json.loads(run.stdout)["embeddings"]])
        same = got.shape == want.shape
        error = np.abs(got - want).max() / np.abs(want).max() if same else math.inf
        print(f"{name} {' '.join(flags)}: {error:.1e}", flush=True)
        right = right and error <= TOLERANCE  # a NaN is not
    return right


def random_weights(config, vocab, dtype):
    chance = np.random.default_rng(5)
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": (vocab, width),
              "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
              "embeddings.token_type_embeddings.weight": (2, width)}
    norms, linears = ["embeddings"], {}
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}"
        norms += [f"{layer}.attention.output", f"{layer}.output"]
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linears[f"{layer}.attention.{part}"] = (width, width)
        linears[f"{layer}.intermediate.dense"] = (inner, width)
        linears[f"{layer}.output.dense"] = (width, inner)
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.LayerNorm.weight": (width,), f"{name}.LayerNorm.bias": (width,)}
    return {name: (chance.normal(0, 0.1, shape) + ("LayerNorm.weight" in name)).astype(dtype)
            for name, shape in shapes.items()}


POOLING = {"modules.json": [{"type": "sentence_transformers.models.Transformer"},
                            {"type": "sentence_transformers.models.Pooling"}],
           "1_Pooling/config.json": {"pooling_mode_cls_token": True,
                                     "pooling_mode_mean_tokens": False}}
CASES = {  # name: (config, files beside it, how names read, dtype, arguments of vectors(), flags)
    "bge": ({}, POOLING, "{}", np.float32, {"cls": True, "normalize": False}, []),
    "e5": ({"num_attention_heads": 2}, {}, "bert.{}", np.float32, {}, []),
    "f16": ({"hidden_act": "gelu_new"}, {}, "model.{}", np.float16, {}, []),
    "relu": ({"hidden_act": "relu", "layer_norm_eps": 1e-3}, {}, "{}", np.float32,
             {"cls": True, "normalize": False}, ["--pooling", "cls", "--no-normalize"]),
    "no config, 128 wide": (None, {}, "{}", np.float32, {}, []),
    "no config, 384 wide": (None, {}, "{}", np.float32, {}, []),
}


def make_case(folder, name):
    """Writes the folder; the vectors that are right for it."""
    config, files, prefix, dtype, how, _ = CASES[name]
    width = 384 if "384" in name else 128
    full = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2,
            "num_attention_heads": 12 if width == 384 else 2, "max_position_embeddings": 64,
            "hidden_act": "gelu", "layer_norm_eps": 1e-12, **(config or {})}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,:!'"
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters),
             "word", "the", "##ox"]
    folder.joinpath("vocab.txt").write_text("\n".join(vocab) + "\n")
    if config is not None:
        files = {**files, "config.json": {"model_type": "bert", **full}}
    for path, content in files.items():
        folder.joinpath(path).parent.mkdir(exist_ok=True)
        folder.joinpath(path).write_text(json.dumps(content))
    weights = random_weights(full, len(vocab), dtype)
    names = {name: prefix.format(name) for name in weights}
    if name == "e5":  # as the first BERT files have it
        names = {name: text.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
                 for name, text in names.items()}
    save_safetensors(folder / "model.safetensors",
                     {names[name]: array for name, array in weights.items()})
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)
    tokenizer.add_special_tokens(["[MASK]"])
    tokenizer.enable_truncation(64)
    return vectors(weights, full, tokenizer, **how)


def main(rlx):
    found = subprocess.run([FETCH, "model", "minilm"], check=True, capture_output=True, text=True)
    minilm = pathlib.Path(found.stdout.strip())
    tokenizer = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)  # sentence_bert_config.json
    weights = load_safetensors(minilm / "model.safetensors")
    want = vectors(weights, json.loads((minilm / "config.json").read_text()), tokenizer)
    right = [check(rlx, "minilm", minilm, want)]
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as temporary:
            want = make_case(pathlib.Path(temporary), name)
            right.append(check(rlx, name, temporary, want, case[-1]))
    print(f"{sum(right)} passed, {len(right) - sum(right)} failed")
    return not all(right)


sys.exit(main(sys.argv[1]))
