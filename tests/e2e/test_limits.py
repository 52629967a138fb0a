"""Every limit is a flag; the answer beyond it names the number."""

import gzip
import json
import socket
import threading
import time

import openai
import pytest
import requests

from sheaf_server import MODEL, Server, wait_until


@pytest.fixture(scope="module")
def small():
    """A server whose limits are low."""
    with Server("--max-body", "64KiB", "--max-header", "2KiB", "--max-texts", "8",
                "--max-connections", "24", "--header-timeout", "500ms", "--body-timeout", "500ms",
                "--idle-timeout", "1s", "--max-grpc-message", "64KiB", replicas=1) as server:
        yield server


def message(answer):
    return answer.json()["error"]["message"]


def test_body(small):
    answer = requests.post(small.http + "/v1/embeddings", json={"input": "a" * 70_000}, timeout=10)
    assert answer.status_code == 413 and str(64 << 10) in message(answer)


def test_body_that_grows_by_decompression(small):
    packed = gzip.compress(json.dumps({"input": "a" * 1_000_000}).encode())
    assert len(packed) < 64 << 10
    answer = requests.post(small.http + "/v1/embeddings", data=packed, timeout=10,
                           headers={"content-type": "application/json", "content-encoding": "gzip"})
    assert answer.status_code == 413 and str(64 << 10) in message(answer)


def test_20_megabytes_pass_by_default(server):
    answer = requests.post(server.http + "/v1/embeddings", json={"input": ["a" * 10_000] * 2000},
                           timeout=120)
    assert answer.status_code == 200


def test_header(small):
    answer = requests.get(small.http + "/v1/models", headers={"x-long": "a" * 4000}, timeout=10)
    assert answer.status_code == 431 and "2048" in message(answer)


def test_texts(small):
    answer = small.embed(["a"] * 9)
    assert answer.status_code in (400, 413) and "9" in message(answer) and "8" in message(answer)


def read_all(connection):
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("sent", [
    b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: 100\r\n\r\n{\"input\":"])
def test_half_a_request_then_silence(small, sent):
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(sent)
        begin = time.monotonic()
        answer = read_all(connection)
    assert time.monotonic() - begin < 5
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408"), answer[:100]


def test_an_idle_connection_is_closed(small):
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        begin = time.monotonic()
        read_all(connection)
    assert 0.5 < time.monotonic() - begin < 5


def test_connections(small):
    held = []
    try:
        for _ in range(40):
            held.append(socket.create_connection(("127.0.0.1", small.port), timeout=10))
        with pytest.raises((requests.ConnectionError, AssertionError)):
            answer = requests.get(small.http + "/health/live", timeout=10)
            assert answer.status_code != 503
    finally:
        for connection in held:
            connection.close()
    def served():
        try:
            return requests.get(small.http + "/health/live", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False
    wait_until(served, what="served again after the others left")


def test_full_queue_is_429_at_the_door_and_the_sdk_retries(faulty_replica):
    # Batches take 200 ms, and 2,000 tokens may wait.
    with Server("--queue-tokens", "2000", "--replica-program", faulty_replica, replicas=1,
                environment={"SHEAF_FAULT_SLOW_US": "200000"}) as server:
        answers = []
        def ask():
            answers.append(server.embed(["word " * 200] * 6, timeout=60))
        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [a for a in answers if a.status_code == 429]
        assert refused and len(refused) < len(answers)
        assert {a.status_code for a in answers} == {200, 429}
        for answer in refused:
            assert int(answer.headers["retry-after"]) >= 1
            assert "2000" in message(answer)
        client = openai.OpenAI(base_url=server.http + "/v1", api_key="x", max_retries=10)
        assert client.embeddings.create(model=MODEL, input="after the retry").data


def test_request_timeouts(faulty_replica):
    # Slower than the time-out, but not so slow that it would count as hung (0.5 s).
    with Server("--request-timeout", "100ms", "--replica-program", faulty_replica, replicas=1,
                environment={"SHEAF_FAULT_SLOW_US": "300000"}) as server:
        answer = server.embed("too slow")
        assert answer.status_code == 504, answer.text
        own = requests.post(server.http + "/v1/embeddings", json={"input": "x"}, timeout=10,
                            headers={"x-request-timeout-ms": "10000"})
        assert own.status_code == 200, own.text


@pytest.fixture(scope="module")
def keyed():
    with Server("--api-key", "right,other", "--cors-allow-origin", "*", replicas=1) as server:
        yield server


@pytest.mark.parametrize("header, status", [
    (None, 401), ("", 401), ("Bearer wrong", 401), ("Bearer right", 200), ("Bearer other", 200)])
def test_api_key(keyed, header, status):
    answer = requests.post(keyed.http + "/v1/embeddings", json={"input": "x"}, timeout=10,
                           headers={} if header is None else {"authorization": header})
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_probes_need_no_key(keyed):
    for path in ("/health", "/health/ready", "/metrics", "/"):
        assert requests.get(keyed.http + path, timeout=10).status_code == 200


def test_an_empty_authorization_is_nothing_without_a_key(server):
    answer = requests.post(server.http + "/v1/embeddings", json={"input": "x"}, timeout=10,
                           headers={"authorization": ""})
    assert answer.status_code == 200


def test_cors_preflight_of_the_sdk(keyed):
    answer = requests.options(keyed.http + "/v1/embeddings", timeout=10, headers={
        "origin": "http://page", "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang"})
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", "http://page")
    assert "x-stainless-lang" in answer.headers["access-control-allow-headers"].lower()
