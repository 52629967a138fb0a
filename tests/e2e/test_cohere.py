"""Cohere's embed routes, through its own SDK."""

import cohere
import numpy as np
import pytest

from sheaf_server import MODEL

TEXTS = ["The cat sat on the mat.", "Katzen liegen gern in der Sonne.", ""]


def cosines(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture
def client(server):
    return cohere.ClientV2(api_key="none", base_url=server.http)


def test_floats_are_those_of_the_openai_route(client, server):
    answer = client.embed(model=MODEL, texts=TEXTS, input_type="search_document",
                          embedding_types=["float"])
    assert answer.texts == TEXTS
    np.testing.assert_allclose(answer.embeddings.float_, server.vectors(TEXTS), atol=1e-6)
    assert answer.meta.billed_units.input_tokens > 0


def test_fewer_bits_keep_the_direction(client):
    types = ["float", "int8", "uint8", "binary", "ubinary"]
    e = client.embed(model=MODEL, texts=TEXTS, input_type="search_query",
                     embedding_types=types).embeddings
    floats = np.asarray(e.float_)
    assert cosines(floats, e.int8).min() > 0.9998
    np.testing.assert_array_equal(np.asarray(e.uint8) - 128, e.int8)
    np.testing.assert_array_equal(np.asarray(e.ubinary) - 128, e.binary)
    bits = np.unpackbits(np.asarray(e.ubinary, np.uint8), axis=1)
    np.testing.assert_array_equal(bits, floats > 0)


def test_output_dimension_and_truncation(client):
    e = client.embed(model=MODEL, texts=["word " * 400], input_type="clustering",
                     output_dimension=64, truncate="START", embedding_types=["float"]).embeddings
    assert np.linalg.norm(e.float_[0]) == pytest.approx(1, abs=1e-5) and len(e.float_[0]) == 64
    with pytest.raises(cohere.errors.BadRequestError) as refusal:
        client.embed(model=MODEL, texts=["word " * 400], input_type="clustering", truncate="NONE",
                     embedding_types=["float"])
    assert "402" in refusal.value.body["message"] and "256" in refusal.value.body["message"]


def test_version_1(server):
    client = cohere.Client(api_key="none", base_url=server.http)
    bare = client.embed(model=MODEL, texts=TEXTS, input_type="search_document")
    np.testing.assert_allclose(bare.embeddings, server.vectors(TEXTS), atol=1e-6)
    typed = client.embed(model=MODEL, texts=TEXTS, input_type="search_document",
                         embedding_types=["int8"])
    assert cosines(bare.embeddings, typed.embeddings.int8).min() > 0.9998


def test_unknown_model(client):
    with pytest.raises(cohere.errors.NotFoundError):
        client.embed(model="no-such-model", texts=["a"], input_type="search_document",
                     embedding_types=["float"])


@pytest.mark.parametrize("texts", [[], ["a"]])
def test_texts_in_two_fields_are_refused(server, texts):
    answer = server.session.post(server.http + "/v2/embed", timeout=30, json={
        "model": MODEL, "texts": texts, "inputs": [{"content": [{"type": "text", "text": "b"}]}],
        "input_type": "search_document", "embedding_types": ["float"]})
    assert answer.status_code == 400
    assert answer.json()["message"] == "texts and inputs are both given; leave one out"
