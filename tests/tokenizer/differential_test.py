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


@pytest.fixture(scope="module")
def program():
    folders = [os.environ.get("SHEAF_BIN_DIR", ""), SOURCE / "build/release/bin", SOURCE / "build/dev/bin"]
    for folder in filter(None, folders):
        if (pathlib.Path(folder) / "tokenizer_io").exists():
            return str(pathlib.Path(folder) / "tokenizer_io")
    pytest.fail("tokenizer_io is not built: run `make test`, or build the target tokenizer_io")


def test_minilm_is_alike(program):
    model = os.environ.get("SHEAF_TEST_MODEL")
    if not model:
        pytest.skip("SHEAF_TEST_MODEL does not name a model folder")
    path = str(pathlib.Path(model) / "tokenizer.json")
    records = differential.records_for(path, seed=1, count=5000, every_code_point=997)
    assert differential.compare(program, path, records) is None


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
