"""Short form of differential.py (which runs 200,000 texts): the real tokenizer and random small ones."""

import itertools
import json
import os
import pathlib
import random
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(SOURCE / "tests/tokenizer"), str(SOURCE / "tests/golden/tokenizer")]

import differential  # noqa: E402
import make_golden  # noqa: E402
import texts  # noqa: E402
import unigram_variants  # noqa: E402


def test_minilm_is_alike(program):
    model = os.environ.get("SHEAF_TEST_MODEL")
    if not model:
        pytest.skip("SHEAF_TEST_MODEL does not name a model folder")
    path = str(pathlib.Path(model) / "tokenizer.json")
    records = differential.records_for(path, seed=1, count=5000, every_code_point=997)
    assert differential.compare(program, path, records) is None


@pytest.mark.parametrize("name", unigram_variants.VARIANTS)
def test_unigram_pipelines_are_alike(program, tmp_path, name):
    assert unigram_variants.difference(program, tmp_path, name, seed=1, count=1000) is None


@pytest.mark.parametrize("unit", ["a", " ", "▁", "\u0301", "e\u0301", "👩\u200d", "क\u094d", "\u1100", "\ufdfa", "\r\n"])
def test_unigram_reads_long_runs_alike(program, tmp_path, unit):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(unigram_variants.tokenizer("bge_m3")))
    text = (unit * 100_000)[:100_000].encode()
    records = [(differential.ENCODE, 0, differential.SPECIAL, text), (differential.PLACES, 0, 0, text[:10_000])]
    assert differential.compare(program, str(path), records) is None


@pytest.mark.parametrize("seed", range(20))
def test_random_unigram_models_are_alike(program, tmp_path, seed):
    rng = random.Random(seed)
    for _ in range(5):
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(random_unigram(rng)))
        alphabet = "abcé中😀xyü"
        generated = ["".join(rng.choice([*alphabet, "<unk>", "<"]) for _ in range(rng.randint(0, 30))).encode() for _ in range(100)]
        records = list(differential.make_records(rng, generated, 1, 0.5, 0))
        assert differential.compare(program, str(path), records) is None


def random_unigram(rng):
    """Few pieces, many ties, scores of all signs, pieces that appear twice, unknown ids anywhere."""
    alphabet = rng.choice(["ab", "abc", "abé", "aé中😀"])
    pieces = ["<unk>"] + ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(1, 40))]
    fallback = rng.random() < 0.4
    if fallback:
        pieces += [f"<0x{byte:02X}>" for byte in range(256) if rng.random() < 0.999]
    score = rng.choice([lambda: -rng.randint(1, 3), lambda: -rng.random() * 10, lambda: rng.choice([-0.1, -0.2, -0.3, -0.7, 50.5])])
    model = {"type": "Unigram", "unk_id": rng.choice([0, 0, rng.randrange(len(pieces))]),
             "vocab": [[piece, score()] for piece in pieces], "byte_fallback": fallback}
    stages = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    return dict.fromkeys(stages) | {"version": "1.0", "added_tokens": [], "model": model}


FLAGS = list(itertools.product([False, True], [False, True], [None, False, True], [False, True]))


@pytest.mark.parametrize("flags", FLAGS)
def test_normalizer_options_are_alike(program, tmp_path, flags):
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    check_small(program, tmp_path, repr(flags), normalizer={"type": "BertNormalizer", **dict(zip(names, flags))})


@pytest.mark.parametrize("missing", ["normalizer", "pre_tokenizer", "post_processor", "decoder"])
def test_missing_stages_are_alike(program, tmp_path, missing):
    check_small(program, tmp_path, missing, **{missing: None})


def test_bert_processing_is_alike(program, tmp_path):
    processor = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
    check_small(program, tmp_path, "bert", post_processor=processor)


@pytest.mark.parametrize("seed", range(20))
def test_added_tokens_are_alike(program, tmp_path, seed):
    rng = random.Random(seed)
    contents = ["ab", "abc", "b", " x", "é", "É!", "aB", "1", "[x]", "[X]", "\u0301", "一", "a b", "ﬁ", "the", "##a", "İ"]
    names = ("special", "single_word", "lstrip", "rstrip", "normalized")
    added, seen = make_golden.small_tokenizer()["added_tokens"][:5], set()
    for content in rng.sample(contents, 6):
        token = {"content": content} | {name: rng.random() < 0.4 for name in names}
        shown = content.lower() if token["normalized"] else content
        if shown in seen or content == "\u0301" or content == "É!":
            continue
        seen.add(shown)
        added.append(token | {"id": 900 + len(added)})
    words = contents + ["  ", " ", "a", "x", "\t", "fi", "the"]
    check_small(program, tmp_path, seed, words, added_tokens=added)


def check_small(program, folder, seed, words=(), **changes):
    tokenizer = make_golden.small_tokenizer(**changes)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer))
    rng = random.Random(seed)
    words = list(words) * 3 + make_golden.words_of(tokenizer)
    strewn = ("".join(rng.choice(words) + rng.choice(["", "", " "]) for _ in range(rng.randint(1, 12))).encode() for _ in range(200))
    generated = itertools.chain(texts.generate(seed, 300, words), strewn)
    records = list(differential.make_records(rng, generated, 40, placed_share=0.5))
    assert differential.compare(program, str(path), records) is None
