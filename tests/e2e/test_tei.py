"""TEI's routes, and what huggingface_hub posts to the bare URL."""

import numpy as np
import pytest
import requests
from huggingface_hub import InferenceClient

from sheaf_server import MODEL


def post(server, path, body, **options):
    return requests.post(server.http + path, json=body, timeout=30, **options)


def test_embed_answers_a_list_of_lists(server):
    one = post(server, "/embed", {"inputs": "hello"})
    assert one.status_code == 200
    vectors = np.array(one.json(), np.float32)
    assert vectors.shape == (1, 384)
    many = np.array(post(server, "/embed", {"inputs": ["hello", "there"]}).json())
    assert many.shape == (2, 384)
    np.testing.assert_allclose(many[0], vectors[0], atol=1e-5)


def test_embed_fields(server):
    plain = np.array(post(server, "/embed", {"inputs": "hello", "normalize": True}).json()[0])
    cut = np.array(post(server, "/embed", {"inputs": "hello", "dimensions": 32}).json()[0])
    assert np.linalg.norm(plain) == pytest.approx(1, abs=1e-5)
    assert cut.shape == (32,) and np.linalg.norm(cut) == pytest.approx(1, abs=1e-5)
    for direction in ("left", "Left", "right", "Right"):
        body = {"inputs": "word " * 400, "truncate": True, "truncation_direction": direction}
        assert post(server, "/embed", body).status_code == 200


def test_truncation_cuts_the_end_that_is_asked_for(server):
    long = "first " + "middle " * 400 + "last"
    def vector(**fields):
        return post(server, "/embed", {"inputs": long, "truncate": True, **fields}).json()[0]
    assert vector(truncation_direction="Left") != vector(truncation_direction="Right")


def test_too_long_without_truncation_names_both_lengths(server):
    answer = post(server, "/embed", {"inputs": "word " * 400, "truncate": False})
    assert answer.status_code == 422
    error = answer.json()
    assert error["error_type"] == "Validation"
    assert "402" in error["error"] and "256" in error["error"]


def test_huggingface_hub_posts_to_the_root(server):
    client = InferenceClient(model=server.http)
    vector = np.asarray(client.feature_extraction("hello"))
    expected = post(server, "/embed", {"inputs": "hello"}).json()
    np.testing.assert_allclose(vector.reshape(1, -1), expected, atol=1e-6)
    client.feature_extraction("hello", truncate=True, truncation_direction="left", normalize=True)


def test_info(server):
    info = requests.get(server.http + "/info", timeout=10).json()
    assert info["model_id"] == MODEL
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["max_input_length"] == 256
    assert info["max_client_batch_size"] == 2048
    assert info["model_dtype"] == "float32"


def test_health_and_root(server):
    for path in ("/health", "/ping", "/", "/health/live", "/health/ready"):
        answer = requests.get(server.http + path, timeout=10)
        assert answer.status_code == 200 and answer.content == b"", path
    page = requests.get(server.http + "/", headers={"accept": "text/html"}, timeout=10)
    assert page.headers["content-type"].startswith("text/html") and "curl" in page.text
    for part in ("state", "models", "replicas"):  # which the page's script renews by their ids
        assert page.text.count(f"id={part}") == 1 and f'"{part}"' in page.text


def test_tokenize_and_decode(server):
    tokens = post(server, "/tokenize", {"inputs": "Hello world"}).json()
    assert [t["id"] for t in tokens[0]] == [101, 7592, 2088, 102]
    assert [t["special"] for t in tokens[0]] == [True, False, False, True]
    bare = post(server, "/tokenize", {"inputs": ["Hello"], "add_special_tokens": False}).json()
    assert [t["id"] for t in bare[0]] == [7592]
    decoded = post(server, "/decode", {"ids": [101, 7592, 2088, 102]})
    assert decoded.json() == ["hello world"]


def test_empty_list_and_wrong_types_as_tei_says_them(server):
    assert post(server, "/embed", {"inputs": []}).status_code in (400, 422)
    wrong = post(server, "/embed", {"inputs": {"a": 1}})
    assert wrong.status_code == 422 and set(wrong.json()) == {"error", "error_type"}


def test_metrics_count_requests(server):
    def count():
        text = requests.get(server.http + "/metrics", timeout=10).text
        lines = [line for line in text.splitlines() if line.startswith("te_request_success{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines), text
    before, _ = count()
    for _ in range(3):
        assert post(server, "/embed", {"inputs": "hello"}).status_code == 200
    after, text = count()
    assert after - before == 3
    for name in ("te_request_count", "te_request_duration_bucket", "te_queue_size",
                 "te_request_inference_duration_count", "te_batch_next_tokens"):
        assert name in text, name
    for name in ("restarts", "tokens", "busy_seconds"):
        assert any(line.startswith("sheaf_replica") and name in line for line in text.splitlines())


def test_similarity_is_the_cosine(server):
    sentences = ["A cat sits.", "Stock prices fell."]
    got = post(server, "/similarity",
               {"inputs": {"source_sentence": "A kitten sits.", "sentences": sentences}}).json()
    vectors = np.array(server.vectors(["A kitten sits.", *sentences]))
    np.testing.assert_allclose(got, vectors[1:] @ vectors[0], atol=1e-5)
    assert got[0] > got[1]
    client = InferenceClient(model=server.http)  # POST / tells it by the object in `inputs`
    np.testing.assert_allclose(client.sentence_similarity("A kitten sits.", sentences), got, atol=1e-5)
