"""Texts to vectors equal to sentence-transformers', for each family with its own kind of tokenizer (tests/golden/texts,
made once by its make.py)."""

import json
import shutil

import numpy as np
import pytest

from sheaf_server import REPOSITORY, Server

GOLDEN = REPOSITORY / "tests/golden/texts"
TEXTS = json.loads((GOLDEN / "texts.json").read_text())


@pytest.fixture(scope="module", params=["xlm_roberta", "roberta"])
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    shutil.copytree(GOLDEN / request.param / "model", folder)
    if request.param == "xlm_roberta":
        shutil.copy(REPOSITORY / "tests/golden/tokenizer/unigram.json", folder / "tokenizer.json")
    vectors = json.loads((GOLDEN / request.param / "vectors.json").read_text())
    with Server("--log-level", "warn", model=folder, replicas=1) as server:
        yield server, np.asarray(vectors)


def test_texts_become_the_vectors_of_sentence_transformers(family):
    server, expected = family
    answer = server.embed(TEXTS)
    assert answer.status_code == 200, answer.text
    got = np.asarray([d["embedding"] for d in answer.json()["data"]])
    cosines = (got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)
    worst = int(cosines.argmin())
    assert len(got) == len(expected) == len(TEXTS) and cosines[worst] >= 0.99999, (TEXTS[worst], cosines[worst])


def test_decoding_gives_a_text_back(family):
    server, _ = family
    text = "How do I reset my password?"
    tokens = server.session.post(server.http + "/tokenize", json={"inputs": text}, timeout=10).json()[0]
    ids = [token["id"] for token in tokens if not token["special"]]
    decoded = server.session.post(server.http + "/decode", json={"ids": ids}, timeout=10).json()
    assert [t.strip() for t in decoded] == [text]
