"""The official openai client against the server."""

import base64

import numpy as np
import openai
import pytest
import requests

from sheaf_server import MODEL, Server


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.http + "/v1", api_key="unused", max_retries=0)


def raw(server, **body):
    return requests.post(server.http + "/v1/embeddings", json=body, timeout=30)


def test_default_call_is_base64_and_equals_the_float_call(client):
    default = client.embeddings.create(model=MODEL, input=["hello world", "other"])
    floats = client.embeddings.create(model=MODEL, input=["hello world", "other"],
                                      encoding_format="float")
    assert [d.index for d in default.data] == [0, 1]
    for a, b in zip(default.data, floats.data):
        assert len(a.embedding) == 384
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-6)
        assert np.linalg.norm(a.embedding) == pytest.approx(1, abs=1e-5)
    assert default.model == MODEL
    assert default.usage.prompt_tokens == default.usage.total_tokens == 4 + 3


def test_base64_is_raw_little_endian_float32(client):
    answer = client.embeddings.create(model=MODEL, input="x", encoding_format="base64")
    vector = np.frombuffer(base64.b64decode(answer.data[0].embedding), "<f4")
    assert vector.shape == (384,)


def test_one_string_equals_a_list_of_one(client):
    one = client.embeddings.create(model=MODEL, input="hello")
    many = client.embeddings.create(model=MODEL, input=["hello"])
    assert one.data[0].embedding == many.data[0].embedding
    assert len(one.data) == len(many.data) == 1


def test_order_is_kept(client):
    texts = [f"text number {i} " + "word " * (i * 7 % 90) for i in range(200)]
    batch = [d.embedding for d in client.embeddings.create(model=MODEL, input=texts).data]
    for i in (0, 1, 17, 99, 199):
        alone = client.embeddings.create(model=MODEL, input=texts[i]).data[0].embedding
        np.testing.assert_allclose(batch[i], alone, atol=2e-5)


def test_2048_texts(client):
    answer = client.embeddings.create(model=MODEL, input=["a"] * 2048)
    assert [d.index for d in answer.data] == list(range(2048))


def test_dimensions_cut_then_normalize(client):
    whole = np.array(client.embeddings.create(model=MODEL, input="hello").data[0].embedding)
    cut = np.array(client.embeddings.create(model=MODEL, input="hello",
                                            dimensions=64).data[0].embedding)
    np.testing.assert_allclose(cut, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-6)


@pytest.mark.parametrize("extra", [
    {"encoding_format": None}, {"user": None}, {"dimensions": None}, {"user": "me"},
    {"drop_params": True}, {"model": None}, {"unknown": {"deep": [1, {"a": None}]}}])
def test_null_and_unknown_fields_are_nothing(server, extra):
    answer = raw(server, **({"model": MODEL, "input": "hello"} | extra))
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json()["data"][0]["embedding"], list)


def test_a_limit_of_tokens_cuts_there(server):
    words = "one two three four five six"
    cut = raw(server, input=words, truncate_prompt_tokens=5).json()
    assert cut["usage"]["prompt_tokens"] == 5
    assert cut["data"][0]["embedding"] == raw(server, input="one two three").json()["data"][0]["embedding"]
    left = raw(server, input=words, truncate_prompt_tokens=5, truncation_side="left").json()
    assert left["data"][0]["embedding"] == raw(server, input="four five six").json()["data"][0]["embedding"]
    assert raw(server, input=words, truncate_prompt_tokens=-1).json()["usage"]["prompt_tokens"] == 8


def test_without_encoding_format_numbers_come(server):
    assert isinstance(raw(server, input="x").json()["data"][0]["embedding"][0], float)


def test_empty_text_has_a_vector(client):
    assert len(client.embeddings.create(model=MODEL, input="").data[0].embedding) == 384


def test_models(client, server):
    models = client.models.list().data
    assert [m.id for m in models] == [MODEL]
    assert models[0].object == "model" and models[0].created > 0
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("org/nothing")
    assert requests.get(server.http + "/v1/models/org%2Fnothing", timeout=10).status_code == 404


def test_errors_become_the_clients_own(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="org/unknown", input="x")
    assert missing.value.code == "model_not_found" and "org/unknown" in str(missing.value)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.embeddings.create(model=MODEL, input="x", dimensions=385)
    assert wrong.value.param == "dimensions" and "384" in str(wrong.value)
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input=[])


def test_token_ids_are_refused_with_the_name_of_the_setting(client):
    for ids in ([1, 2, 3], [[1], [2]]):
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model=MODEL, input=ids)
        assert "check_embedding_ctx_length" in str(refused.value)


@pytest.mark.parametrize("path", ["/embeddings", "/v1/embeddings/", "//v1//embeddings"])
def test_paths_of_careless_clients(server, path):
    answer = requests.post(server.http + path, json={"input": "x"}, timeout=10)
    assert answer.status_code == 200


def test_headers_say_who_did_what(server):
    answer = raw(server, input=["hello world", "x"])
    headers = answer.headers
    assert headers["x-sheaf-model"] == MODEL
    assert headers["x-sheaf-replica"].isdigit() and headers["x-sheaf-slice"].startswith("cores:")
    assert int(headers["x-compute-tokens"]) == answer.json()["usage"]["total_tokens"] == 7
    for name in ("x-sheaf-compute-us", "x-compute-time", "x-total-time", "x-tokenization-time",
                 "x-queue-time", "x-inference-time", "x-compute-characters"):
        assert int(headers[name]) >= 0
    assert headers["x-request-id"] and "x-sheaf-cut-texts" not in headers


def test_texts_that_are_cut_are_counted(server):
    def counted():
        (line,) = [line for line in requests.get(server.http + "/metrics", timeout=10).text.splitlines()
                   if line.startswith("sheaf_cut_texts")]
        return float(line.split()[-1])

    before = counted()
    answer = raw(server, input=["word " * 300, "x", "another " * 257])
    assert answer.headers["x-sheaf-cut-texts"] == "2"
    assert counted() == before + 2


def test_the_last_part_of_a_models_name_will_do(server):
    answer = raw(server, input="x", model=MODEL.split("/")[-1])
    assert answer.status_code == 200 and answer.json()["model"] == MODEL
    assert raw(server, input="x", model="L6-v2").status_code == 404


def test_a_default_prompt_of_the_servers_own(server):
    with Server("--default-prompt", "query: ", "--log-level", "warn", replicas=1) as prompting:
        def vector(where, text, **fields):
            return np.asarray(raw(where, input=text, **fields).json()["data"][0]["embedding"])
        np.testing.assert_allclose(vector(prompting, "cats"), vector(server, "query: cats"), atol=1e-6)
        np.testing.assert_allclose(vector(prompting, "cats", prompt_name=""), vector(server, "cats"), atol=1e-6)
    refused = raw(server, input="cats", prompt_name="default")
    assert refused.status_code == 400 and "it has none" in refused.text
