"""Ollama's embedding routes, through its own client."""

import numpy as np
import ollama
import pytest

from sheaf_server import MODEL


@pytest.fixture
def client(server):
    return ollama.Client(host=server.http)


def test_embed(client, server):
    answer = client.embed(model=MODEL, input=["hello", "there"])
    np.testing.assert_allclose(answer.embeddings, server.vectors(["hello", "there"]), atol=1e-6)
    assert answer.model == MODEL and answer.prompt_eval_count == 6
    one = client.embed(model=MODEL + ":latest", input="hello", dimensions=32)
    assert len(one.embeddings) == 1 and len(one.embeddings[0]) == 32


def test_the_older_route(client, server):
    answer = client.embeddings(model=MODEL, prompt="hello")
    np.testing.assert_allclose(answer.embedding, server.vectors(["hello"])[0], atol=1e-6)


def test_list_names_what_is_served(client):
    assert [model.model for model in client.list().models] == [MODEL]


def test_errors_are_ollamas(client):
    with pytest.raises(ollama.ResponseError) as refusal:
        client.embed(model="no-such-model", input="hello")
    assert refusal.value.status_code == 404 and MODEL in refusal.value.error
