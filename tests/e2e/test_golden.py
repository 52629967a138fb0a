"""Vectors equal to sentence-transformers' (tests/golden/minilm, made once by its make.py)."""

import json

import numpy as np
import pytest

from sheaf_server import REPOSITORY

GOLDEN = REPOSITORY / "tests/golden/minilm"


@pytest.fixture(scope="module")
def golden():
    cases = json.loads((GOLDEN / "cases.json").read_text())
    vectors = np.fromfile(GOLDEN / "vectors.f32", "<f4").reshape(len(cases), -1)
    return cases, vectors


def cosines(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_in_one_request(server, golden):
    cases, expected = golden
    answer = server.embed([case["text"] for case in cases]).json()
    got = [d["embedding"] for d in answer["data"]]
    assert cosines(got, expected).min() >= 0.99999
    assert answer["usage"]["total_tokens"] == sum(len(case["ids"]) for case in cases)


def test_one_by_one_and_padded_with_white_space(server, golden):
    cases, expected = golden
    got = [server.embed(f" \t{case['text']}\n").json()["data"][0]["embedding"] for case in cases]
    assert cosines(got, expected).min() >= 0.99999
