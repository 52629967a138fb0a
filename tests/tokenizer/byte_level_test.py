"""Tokenizers with the pipelines of byte-level models, and their parts one by one, against Hugging Face's. The long
form is differential.py on what byte_level.py writes."""

import itertools
import json
import os
import pathlib
import random
import sys

import pytest
from tokenizers import Tokenizer

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(SOURCE / "tests/tokenizer")]

import byte_level  # noqa: E402
import differential  # noqa: E402
import texts  # noqa: E402


def check(program, folder, tokenizer, generated, placed_share=0.3):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer))
    id_end = len(Tokenizer.from_file(str(path)).get_vocab())
    records = list(differential.make_records(random.Random(1), generated, id_end, placed_share))
    assert differential.compare(program, str(path), records) is None


@pytest.mark.parametrize("kind", byte_level.KINDS)
def test_pipelines_are_alike(program, tmp_path, kind):
    tokenizer = byte_level.KINDS[kind]()
    words = [a["content"] for a in tokenizer["added_tokens"]] * 20 + ["a", " ", "'s", "é", "1", "\n"]
    generated = itertools.chain(
        texts.generate(3, 1000, words), texts.every_code_point(3989), (t.encode() for t in byte_level.natural_text(3, 200))
    )
    check(program, tmp_path, tokenizer, generated)


# What a letter, a digit, a space and the like may stand next to, for all the rules about words.
CHARACTERS = "aAéſKs Stre'vLl d’1٣Ⅷ½ \t\n\r\u00a0\u3000\u0085.-_#\u0301一ุ😀\u180e\u200b\u1c89\U0001ebf0\U00010d40"


def words_apart(seed, count):
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choice(CHARACTERS) for _ in range(rng.randint(1, 14))).encode()


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


PATTERNS = {
    "gpt2": {"Regex": byte_level.GPT2_WORDS},
    "llama3": {"Regex": byte_level.LLAMA3_WORDS},
    "qwen2": {"Regex": byte_level.QWEN2_WORDS},
    # The same three, written so that no scanner knows them.
    "gpt2_regex": {"Regex": f"(?:{byte_level.GPT2_WORDS})"},
    "llama3_regex": {"Regex": f"(?:{byte_level.LLAMA3_WORDS})"},
    "qwen2_regex": {"Regex": f"(?:{byte_level.QWEN2_WORDS})"},
    "string": {"String": "a."},
    "letter": {"String": "a"},
    "empty": {"String": ""},
    "empty_matches": {"Regex": r"\s*"},
    "lines": {"Regex": r"^.+$"},
    "o200k": {"Regex": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"},
    "han": {"Regex": r"\p{Han}+|[\u3040-ゟ゠-ヿ]+|\p{P}|(?<=1)a|\d(?=a)"},
}
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


@pytest.mark.parametrize("name", PATTERNS)
def test_split_patterns_are_alike(program, tmp_path, name):
    for behavior, invert in itertools.product(BEHAVIORS, [False, True]):
        parts = [split(PATTERNS[name], behavior, invert), byte_level.byte_level()]
        tokenizer = byte_level.gpt2() | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}
        share = 500 if name.endswith("_regex") or "_" not in name else 300
        check(program, tmp_path, tokenizer, words_apart(4, share if behavior == "Isolated" else 100), 1.0)


@pytest.mark.parametrize("name", ["gpt2", "llama3", "qwen2", "gpt2_regex", "llama3_regex", "qwen2_regex"])
def test_words_are_alike_at_every_code_point(program, tmp_path, name):
    parts = [split(PATTERNS[name]), byte_level.byte_level()]
    tokenizer = byte_level.gpt2() | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}
    step = 1 if os.environ.get("SHEAF_LONG_TESTS") else 61
    points = [c for c in range(0, 0x110000, step) if not 0xD800 <= c <= 0xDFFF]
    lines = ("".join(f"a{chr(c)} {chr(c)}1'{chr(c)}{chr(c)}\n" for c in points[i : i + 20]).encode() for i in range(0, len(points), 20))
    check(program, tmp_path, tokenizer, lines, 0.02)


@pytest.mark.parametrize(
    "part",
    [{"type": "Digits", "individual_digits": b} for b in (False, True)]
    + [{"type": "Punctuation", "behavior": b} for b in BEHAVIORS]
    + [{"type": "Punctuation"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, byte_level.byte_level(True, True), byte_level.byte_level(True)],
    ids=str,
)
def test_pre_tokenizers_are_alike(program, tmp_path, part):
    parts = [part] if part["type"] == "ByteLevel" else [part, byte_level.byte_level()]
    sequence = {"type": "Sequence", "pretokenizers": parts}
    generated = itertools.chain(words_apart(5, 500), texts.generate(5, 300), texts.every_code_point(401))
    check(program, tmp_path, byte_level.gpt2() | {"pre_tokenizer": sequence}, generated, 1.0)


SHAPES = [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase")]


@pytest.mark.parametrize("shape", SHAPES + [{"type": "Sequence", "normalizers": list(p)} for p in itertools.permutations(SHAPES[:1] + SHAPES[3:5], 2)], ids=str)
def test_normalizers_are_alike(program, tmp_path, shape):
    rng = random.Random(6)
    marks = ["ʹ", "a", "é", "\u0301", "\u0323", "\u0345", "각", "가", "ᄀ", "ᅡ", "ᆨ", "\u1100", "\u3099", "か", "ﬁ", "ﷺ", "Å", "\u0f71", "\u0f72", "ΐ", "\U0001d15e", "ｶﾞ", "½", "क़", "\u0958", "İ", "ß", "𑄱", "\U00011127"]
    clusters = ("".join(rng.choice(marks) for _ in range(rng.randint(1, 9))).encode() for _ in range(1500))
    step = 1 if os.environ.get("SHEAF_LONG_TESTS") else 499
    generated = itertools.chain(clusters, texts.generate(6, 200), texts.every_code_point(step))
    check(program, tmp_path, byte_level.gpt2() | {"normalizer": shape}, generated, 0.3)


SPACE_TRIMMERS = [byte_level.byte_level(prefix, trim=True) for prefix in (False, True)]
AROUND = [
    {"type": "BertProcessing", "cls": ["a", 64], "sep": ["b", 65]},
    {"type": "RobertaProcessing", "cls": ["a", 64], "sep": ["b", 65], "trim_offsets": True, "add_prefix_space": True},
    byte_level.template([("a", 64)], [("b", 65)]),
]


@pytest.mark.parametrize("trimmer", SPACE_TRIMMERS, ids=["", "prefix"])
@pytest.mark.parametrize("around", AROUND, ids=lambda a: a["type"])
def test_post_processors_are_alike(program, tmp_path, trimmer, around):
    for processors in ([trimmer, around], [around, trimmer]):
        tokenizer = byte_level.gpt2() | {"post_processor": {"type": "Sequence", "processors": processors}}
        check(program, tmp_path, tokenizer, itertools.chain(words_apart(8, 300), texts.generate(8, 200)), 1.0)


@pytest.mark.parametrize("unknown,fuse,fallback,ignore", list(itertools.product([None, "<unk>"], [False, True], [False, True, "some"], [False, True])))
def test_characters_without_byte_level_are_alike(program, tmp_path, unknown, fuse, fallback, ignore):
    """As in SentencePiece-like files: symbols are characters, and some have no token."""
    characters = "▁abcdefghilnorstué一的"
    words = ["<unk>", *characters, "th", "the", "▁the", "an", "and", "▁a", "ing", "一的", "ab", "abc", "bc", "hé", "▁th"]
    if fallback:
        words += [f"<0x{b:02X}>" for b in range(256) if fallback is True or b % 5]
    merges = [["t", "h"], ["▁", "th"], ["th", "e"], ["▁th", "e"], ["a", "n"], ["b", "c"], ["▁", "a"], ["an", "d"], ["a", "b"], ["ab", "c"], ["a", "bc"], ["h", "é"], ["一", "的"]]
    tokenizer = byte_level.gpt2() | {
        "added_tokens": [], "pre_tokenizer": None, "post_processor": None,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
    }
    tokenizer["model"] |= {
        "vocab": {w: i for i, w in enumerate(words)}, "merges": merges, "unk_token": unknown, "fuse_unk": fuse,
        "byte_fallback": bool(fallback), "ignore_merges": ignore,
    }
    rng = random.Random(9)
    pool = [*words[1:], *"xyzßж丁😀", " ", "abc", "the"]
    generated = ("".join(rng.choice(pool) for _ in range(rng.randint(1, 15))).encode() for _ in range(500))
    check(program, tmp_path, tokenizer, generated, 0.5)
