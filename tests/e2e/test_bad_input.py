"""Everything wrong that a client can send: a clear 4xx in JSON, and the next request is served."""

import json
import socket

import pytest
import requests

from sheaf_server import MODEL, Server

URL = "/v1/embeddings"


@pytest.fixture(autouse=True)
def nothing_else_is_disturbed(server):
    pids = server.replica_pids()
    yield
    assert server.embed("still here").status_code == 200
    assert server.replica_pids() == pids


def post(server, body, path=URL, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(server.http + path, data=data, timeout=30,
                         headers={"content-type": "application/json"} | headers)


def expect(answer, status, *said):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    for text in said:
        assert text in error["message"], error["message"]
    return error


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"\"x\"", b"{\"input\": \"a\"", b"{\"input\": \"a\",}", b"{'input': 'a'}",
    b"{\"input\": \"\\ud800\"}x", b"\x00", b"[" * 100_000, b"{\"input\":" * 5_000])
def test_wrong_json(server, body):
    expect(post(server, body), 400)


@pytest.mark.parametrize("path", [URL, "/embed", "/v2/embed", "/api/embed", "/rerank", "/v2/rerank", "/score", "/classify",
                                  "/predict", "/tokenize", "/similarity", "/v1/plan"])
def test_broken_json_says_where_and_repeats_nothing(server, path):
    answer = post(server, b'{"input": "private",\n  oops}', path)
    assert answer.status_code == 400, answer.text
    assert "line 2, column 3" in answer.text and "private" not in answer.text and "oops" not in answer.text, answer.text


@pytest.mark.parametrize("value", [1, 1.5, True, {}, [True], [None], [["a"]], [{}], ["a", 1], [1, "a"],
                                   [[1], "a", [None]], [[]], None])
def test_wrong_types_of_input(server, value):
    expect(post(server, {"input": value}), 400)


def test_missing_input(server):
    expect(post(server, {"model": MODEL}), 400, "input")


def test_empty_list(server):
    assert expect(post(server, {"input": []}), 400)["param"] == "input"


def test_2049_texts(server):
    error = post(server, {"input": ["a"] * 2049})
    assert error.status_code in (400, 413)
    assert "2049" in error.json()["error"]["message"] and "2048" in error.json()["error"]["message"]


@pytest.mark.parametrize("dimensions", [0, 385, -1, 1.5, "many"])
def test_dimensions(server, dimensions):
    assert expect(post(server, {"input": "a", "dimensions": dimensions}), 400)["param"] == "dimensions"


def test_a_number_beyond_64_bits(server):
    expect(post(server, {"input": "a", "dimensions": 2**70}), 400)


@pytest.mark.parametrize("field", [{"encoding_format": "int8"}, {"encoding_format": 1}, {"model": 7}])
def test_wrong_fields(server, field):
    expect(post(server, {"input": "a"} | field), 400)


def test_unknown_model(server):
    assert expect(post(server, {"input": "a", "model": "org/unknown"}), 404,
                  "org/unknown")["code"] == "model_not_found"


def test_unknown_route(server):
    answer = requests.get(server.http + "/v1/nothing", timeout=10)
    expect(answer, 404)


@pytest.mark.parametrize("method, path, allowed", [("GET", URL, "POST, OPTIONS"), ("PUT", URL, "POST, OPTIONS"),
                                                   ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
                                                   ("POST", "/health", "GET, HEAD, OPTIONS")])
def test_wrong_method_names_the_right_one(server, method, path, allowed):
    answer = requests.request(method, server.http + path, timeout=10)
    assert answer.status_code == 405 and answer.headers["allow"] == allowed
    assert "error" in answer.json()
    assert requests.options(server.http + path, timeout=10).headers["allow"] == allowed


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_wrong_content_type(server, content_type):
    answer = post(server, {"input": "a"}, **{"content-type": content_type})
    expect(answer, 415, content_type)


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82"])
def test_broken_utf8(server, raw):
    answer = post(server, b'{"input": "' + raw + b'"}')
    assert answer.status_code == 400, answer.text


def test_gzip_that_is_none(server):
    answer = post(server, b"not gzip", **{"content-encoding": "gzip"})
    assert answer.status_code == 400 and "error" in answer.json()


def test_tei_errors_have_teis_form(server):
    for body, status in (({"inputs": 1}, 422), ({}, 400), ({"inputs": "a", "dimensions": 0}, 422),
                         ({"inputs": "a", "truncation_direction": "up"}, 422)):
        answer = post(server, body, path="/embed")
        assert answer.status_code == status, answer.text
        assert set(answer.json()) == {"error", "error_type"}
    unreadable = post(server, b"{", path="/embed")
    assert 400 <= unreadable.status_code < 500 and "error" in unreadable.json()


def test_token_id_outside_the_vocabulary():
    with Server("--allow-token-ids", replicas=1) as server:
        expect(post(server, {"input": [101, 30522, 102]}), 400, "30522")
        expect(post(server, {"input": [[101, -1]]}), 400)
        expect(post(server, {"input": [[101, 2**40]]}), 400)
        good = post(server, {"input": [101, 7592, 102]})
        text = server.embed("hello")
        assert good.json()["data"][0]["embedding"] == pytest.approx(
            text.json()["data"][0]["embedding"], abs=1e-5)


def test_too_long_with_truncation_off():
    with Server("--auto-truncate", "false", replicas=1) as server:
        expect(post(server, {"input": "word " * 400}), 400, "402", "256")
        assert server.embed("word " * 254).status_code == 200


@pytest.mark.parametrize("lines", [
    b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"POST /v1/embeddings HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZZ\r\n"])
def test_what_is_not_http(server, lines):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(lines)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 505"), answer[:200]
