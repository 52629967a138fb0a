"""Short form of pairs.py."""

import json
import os
import pathlib
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(SOURCE / "tests/tokenizer")]

import byte_level  # noqa: E402
import pairs  # noqa: E402
import unigram_variants  # noqa: E402


def check(program, folder, name, tokenizer, count):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(tokenizer))
    assert pairs.difference(program, path, name, count) is None, name


def test_post_processors_join_pairs_alike(program, tmp_path):
    for name, tokenizer in pairs.small_tokenizers(seed=3, templates=20):
        check(program, tmp_path, name, tokenizer, 200)


@pytest.mark.parametrize("kind", ["roberta", "qwen3"])
def test_byte_level_pairs_are_alike(program, tmp_path, kind):
    check(program, tmp_path, kind, byte_level.KINDS[kind](), 300)


@pytest.mark.parametrize("name", list(unigram_variants.VARIANTS)[:6])
def test_unigram_pairs_are_alike(program, tmp_path, name):
    check(program, tmp_path, name, unigram_variants.tokenizer(name), 300)


def test_minilm_pairs_are_alike(program):
    model = os.environ.get("SHEAF_TEST_MODEL")
    if not model:
        pytest.skip("SHEAF_TEST_MODEL does not name a model folder")
    assert pairs.difference(program, pathlib.Path(model) / "tokenizer.json", "minilm", 1000) is None
