#!/usr/bin/env python3
"""librlx's tokenizer against the package tokenizers: tokenizer.py LIBRLX

Every code point, and texts made here (the same in every run), through MiniLM's tokenizer.json, its
vocab.txt, and small tokenizers with other rules. Ids must be equal, and so must decoded texts.
Run it by `scripts/fetch.py oracle`.
"""
import ctypes
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers.implementations import BertWordPieceTokenizer

FETCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "fetch.py"
NO_LIMIT = 2**32 - 1
SAMPLES = [
    "", " ", "The quick brown fox jumps over the lazy dog.",
    "don't can't we're I'm she's they've", "naïve café résumé Ångström Übermensch ﬁancé ½ ² ™",
    "e\u0301 a\u0308\u0323 o\u0323\u0308 \u0301x", "İstanbul IĞDIR ıı ẞ ß Straße ΣΊΣΥΦΟΣ ς",
    "私は東京に住んでいます。", "한국어 토크나이저 ㄱㅏ 각", "中文分词,测试!", "中a文b", "\u2b820 \U0002b820\U0002b920", "豈更車",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪 ☺️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "שָׁלוֹם עולם", "مَرْحَبًا بالعالم", "हिन्दी में पाठ", "ไทย ภาษา",
    "\u202eabc\u202c \u200fdef", "a\u200bb\u200cc\u200dd\ufeffe", "a\x00b\x01c\x7fd\x80e\x9f",
    "tab\there\nnewline\r\nreturn\x0bvt\x0cff\x85nel", "a\u00a0b\u2003c\u3000d\u2028e\u2029f",
    "[CLS] hello [SEP]", "[MASK]ed [ MASK ] [mask] x[MASK]y[PAD][UNK]", "##ing ing ##",
    "_under_score_ a-b–c—d", "$3.50 + €4 = £5 ^ ` ~ | < >", "x" * 100, "x" * 101, "a" * 5000,
    "ä" * 100, "ä" * 101, "!" * 300, "https://example.org/a?b=c&d=%20#e",
    "1,234,567.89 1e-5 0x1F", "C++11 C# F# .NET", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ｆｕｌｌ ①②③", "\ufffd a\ufffdb",
    "\ue000\U000f0000\U0010ffff", "ǅ ǈ ŉ ǰ ΐ", "\u1e9b\u0323 \u0344 \u0340",
]
BYTES = [
    b"\xff", b"a\x80b", b"\xc3", b"\xe4\xb8", b"\xe4\xb8x", b"\xf0\x9f\x98", b"\xf0\x9f\x98\x41",
    b"\xed\xa0\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
    b"caf\xe9 latin", b"\xe2\x82\xe2\x82\xac",
]


class Options(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("max_tokens", ctypes.c_uint32),
                ("plain", ctypes.c_bool)]


class Rlx:
    """One tokenizer of librlx."""
    def __init__(self, library, path):
        self.library = ctypes.CDLL(library)
        self.library.rlx_tensor_data.restype = ctypes.c_void_p
        self.library.rlx_tensor_count.restype = ctypes.c_int64
        self.library.rlx_last_error.restype = ctypes.c_char_p
        self.tokenizer = ctypes.c_void_p()
        self.call("rlx_tokenizer_load", str(path).encode(), ctypes.byref(self.tokenizer))

    def call(self, name, *arguments):
        """Python's integers go as size_t."""
        status = getattr(self.library, name)(*(
            ctypes.c_size_t(value) if type(value) is int else value for value in arguments))
        if status:
            sys.exit(f"{name}: status {status}: {self.library.rlx_last_error().decode()}")

    def encode(self, data, max_tokens=0, plain=False):
        ids, options = ctypes.c_void_p(), Options(ctypes.sizeof(Options), max_tokens, plain)
        self.call("rlx_tokenizer_encode", self.tokenizer, data, len(data), ctypes.byref(options),
                  ctypes.byref(ids))
        n, at = self.library.rlx_tensor_count(ids), self.library.rlx_tensor_data(ids)
        values = (ctypes.c_int64 * n).from_address(at)[:] if n else []
        self.library.rlx_tensor_free(ids)
        return values

    def decode(self, ids, skip_special):
        tensor, text = ctypes.c_void_p(), ctypes.c_char_p()
        data, dims = (ctypes.c_int64 * max(len(ids), 1))(*ids), (ctypes.c_int64 * 1)(len(ids))
        i64 = ctypes.c_int(self.library.rlx_dtype_find(b"i64"))
        self.call("rlx_tensor_wrap", i64, 1, dims, data, 8 * len(ids), None, None,
                  ctypes.byref(tensor))
        self.call("rlx_tokenizer_decode", self.tokenizer, tensor, ctypes.c_bool(skip_special),
                  ctypes.byref(text))
        self.library.rlx_tensor_free(tensor)
        value = text.value.decode()
        self.library.rlx_string_free(text)
        return value


def texts():
    """The samples, random mixtures of them and of code points, and bytes that are no UTF-8."""
    chance = random.Random(4)
    found = list(SAMPLES)
    blocks = [(0x20, 0x7f), (0xa0, 0x250), (0x250, 0x370), (0x370, 0x530), (0x530, 0x780),
              (0x900, 0xe00), (0x1100, 0x1200), (0x1e00, 0x2000), (0x2000, 0x2c00),
              (0x3000, 0x3200), (0x4e00, 0x5000), (0xac00, 0xad00), (0xf900, 0x10000),
              (0x1d100, 0x1d800), (0x1f300, 0x1fb00), (0, 0x110000)]
    for _ in range(500):
        words = []
        for _ in range(chance.randint(1, 12)):
            low, high = chance.choice(blocks)
            length = chance.choice((1, 2, 3, 7, 20))
            word = "".join(chr(chance.randrange(low, high)) for _ in range(length))
            words.append(chance.choice((word, chance.choice(SAMPLES), "unbelievable", "[SEP]")))
        found.append(chance.choice(("", " ", "\u0301", "\t")).join(words))
    return [text.encode("utf-8", "replace") for text in found] + BYTES


def small(rules=None, added=(), **parts):
    """A tokenizer.json with a vocabulary of single letters and a few pieces."""
    pieces = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *"abcdefghijklmnopqrstuvwxyzABCXYZ.,!?'",
              *"äöéÉΣσς中文🙂\u0301\u200d\ufffd", "the", "un", "##able", "able", "##e", "##x",
              "##\u0301", "n't", "'s", "x\u0301"]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                  "strip_accents": None, "lowercase": True}
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": len(vocab) + i, "content": content,
                              **{flag: flag in on for flag in flags}}
                             for i, (content, *on) in enumerate(added)],
            "normalizer": None if rules is None else {**normalizer, **rules},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocab}, **parts}


CODE_POINTS = [chr(c) for c in range(1, 0x110000) if not 0xd800 <= c < 0xe000]


def code_points():
    """A tokenizer whose ids show what becomes of each code point, and texts with all of them."""
    model = {"type": "WordPiece", "unk_token": "\ufffd", "continuing_subword_prefix": "",
             "max_input_chars_per_word": 1000,
             "vocab": {c: i for i, c in enumerate(CODE_POINTS)}}
    lines = ["x" + " x".join(CODE_POINTS[i:i + 64]) + "e" + "e".join(CODE_POINTS[i:i + 64])
             for i in range(0, len(CODE_POINTS), 64)]
    return model, lines


ADDED = (("<a>", "special"), ("<ab>",), ("Café", "normalized"), ("<l>", "lstrip"),
         ("<r>", "rstrip"), ("the end", "normalized", "single_word"), ("<w>", "single_word"),
         ("<lr>", "lstrip", "rstrip", "special"))
ADDED_TEXTS = ["x <a>b <ab> <a> y", "cafe CAFÉ café xcafé", "the end the ends athe end, the end.",
               "a  <l> b <l><l>  <l>", "a <r>  b<r>\t<r> c", "<w>a a<w> <w> é<w> .<w>, <w><w>",
               "a \u3000<lr>\n b", "  <lr>  <lr>  ", "<l><r> <l>"]


def cases():
    """name: (tokenizer.json as an object, texts beside the usual ones)"""
    yield "all rules", small({}), []
    yield "no rules", small({"clean_text": False, "handle_chinese_chars": False,
                             "lowercase": False}), []
    yield "no normalizer", small(), []
    yield "cased", small({"lowercase": False}), []
    yield "accents stay", small({"strip_accents": False}), []
    yield "accents go, case stays", small({"lowercase": False, "strip_accents": True}), []
    yield "added tokens", small({}, ADDED), ADDED_TEXTS
    yield "added tokens, no normalizer", small(None, ADDED), ADDED_TEXTS
    yield "short words", small({}, model={**small()["model"], "max_input_chars_per_word": 3,
                                          "continuing_subword_prefix": ""}), []
    for direction in ("Right", "Left"):
        yield f"truncated {direction}", small({}, truncation={
            "direction": direction, "max_length": 9, "strategy": "LongestFirst", "stride": 0}), []
    yield "no decoder", small({}, decoder=None, post_processor=None), []
    model, lines = code_points()
    yield "every code point", small({}, model=model, post_processor=None), lines
    yield "no cleanup", small({}, decoder={**small()["decoder"], "cleanup": False}), []


def difference(rlx, oracle, data, **options):
    text = data.decode("utf-8", "replace")
    want = oracle.encode(text, add_special_tokens=not options.get("plain", False))
    got = rlx.encode(data, **options)
    if got != want.ids:
        return f"{data[:300]!r}: ids are {got[:40]}, should be {want.ids[:40]}"
    for skip in (False, True):
        back, right = rlx.decode(got, skip), oracle.decode(got, skip_special_tokens=skip)
        if back != right:
            return f"{data[:300]!r}: decodes to {back!r}, should be {right!r}"
    return None


def check(name, rlx, oracle, lines, **options):
    wrong = [text for text in (difference(rlx, oracle, line, **options) for line in lines) if text]
    print(f"{name}: {len(lines) - len(wrong)} of {len(lines)} texts agree", *wrong[:10],
          sep="\n  ", flush=True)
    return not wrong


def main(library):
    found = subprocess.run([FETCH, "model", "minilm"], check=True, capture_output=True, text=True)
    minilm = pathlib.Path(found.stdout.strip())
    lines = texts()
    oracle = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    oracle.no_padding()
    right = [check("minilm", Rlx(library, minilm / "tokenizer.json"), oracle, lines)]
    oracle.no_truncation()
    for plain in (False, True):
        right.append(check("minilm, whole", Rlx(library, minilm), oracle, lines,
                           max_tokens=NO_LIMIT, plain=plain))
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        vocab = (minilm / "vocab.txt").read_bytes()
        folder.joinpath("vocab.txt").write_bytes(vocab)
        for config in (None, {"do_lower_case": False, "tokenize_chinese_chars": False,
                              "cls_token": {"content": "[CLS]", "lstrip": False}}):
            lower = config is None
            if config:
                folder.joinpath("tokenizer_config.json").write_text(json.dumps(config))
            oracle = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lower,
                                            handle_chinese_chars=lower)
            oracle.add_special_tokens(["[MASK]", "[PAD]"])
            right.append(check(f"vocab.txt, {config}", Rlx(library, folder), oracle, lines))
        for name, content, more in cases():
            path = folder / "tokenizer.json"
            path.write_text(json.dumps(content))
            oracle = tokenizers.Tokenizer.from_file(str(path))
            more = [text.encode() for text in more]
            right.append(check(name, Rlx(library, path), oracle, lines + more))
    print(f"{sum(right)} passed, {len(right) - sum(right)} failed")
    return not all(right)


sys.exit(main(sys.argv[1]))
