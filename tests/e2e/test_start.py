"""From the command to the first vector, the first line, and what a start prints."""

import json
import os
import re
import time

import requests

from sheaf_server import MODEL, Server, wait_until


def first_vector_s():
    with Server(ready=False, replicas=1) as server:
        # Requests wait for the first replica, so the first answer is the first vector.
        answer = server.embed("first")
        assert answer.status_code == 200
        return time.monotonic() - server.started


def test_first_vector():
    first_vector_s()  # brings the model into the page cache
    times = sorted(first_vector_s() for _ in range(5))
    print(f"\nstart to first vector: best {times[0]:.3f} s, median {times[2]:.3f} s")
    # The promise is 0.5 s on an idle machine; tests run on busy ones.
    assert times[0] < 1.5


def test_first_line_comes_before_readiness_and_alone():
    with Server(ready=False, replicas=1) as server:
        assert json.loads(server.first_line) == {
            "http": server.http, "grpc": server.grpc, "pid": server.pid}
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.http)
        assert re.fullmatch(r"127\.0\.0\.1:\d+", server.grpc)
        server.wait_ready()
        server.terminate()
        assert server.wait_exit() == 0
        os.set_blocking(server.process.stdout.fileno(), False)
        assert not server.process.stdout.read(), "nothing else on standard output"


def test_ready_message_holds_a_curl_line_that_works():
    with Server("--api-key", "secret", replicas=1) as server:
        wait_until(lambda: any("curl" in line for line in server.log), 5, "the curl line")
        text = "".join(server.log)
        assert server.http + "/v1/embeddings" in text
        assert "api-key=**** (flag)" in text and "secret" not in text
        body = re.search(r"-d '(.*)'", text).group(1)
        answer = requests.post(server.http + "/v1/embeddings", data=body, timeout=10,
                               headers={"authorization": "Bearer secret",
                                        "content-type": "application/json"})
        assert answer.status_code == 200


def test_log_json_is_one_object_a_line():
    with Server("--log-json", replicas=1) as server:
        assert server.embed(["a", "b"]).status_code == 200
        assert server.embed("a", model="absent").status_code == 404
        wait_until(lambda: len(requests_of(server)) == 2, 5, "both requests' lines")
        answered, refused = requests_of(server)
        assert answered["texts"] == 2 and answered["tokens"] == 6
        assert answered["total_ms"] >= answered["compute_ms"] > 0
        assert refused["error"] == "not_found" and refused["request_id"] in refused["message"]
        assert any("ready after" in json.loads(line)["message"] for line in server.log)


def requests_of(server):
    return [line for line in map(json.loads, server.log) if "request_id" in line]


def test_log_level_off_is_silent():
    with Server("--log-level", "off", replicas=1) as server:
        assert server.embed("a").status_code == 200
        server.terminate()
        assert server.wait_exit() == 0
        assert server.error_text() == ""


def test_configuration_file_environment_and_flag(tmp_path):
    config = tmp_path / "sheaf.yaml"
    config.write_text("limits: {texts: 5}\nlisten: {cors_allow_origin: 'http://a'}\n")
    with Server("--config", config, "--served-model-name", "mini", replicas=1,
                environment={"SHEAF_MAX_TEXTS": "3"}) as server:
        assert server.embed(["a"] * 3, model="mini").status_code == 200
        assert server.embed(["a"] * 4).status_code in (400, 413)
        assert server.embed("a", model=MODEL).status_code == 404
        assert requests.get(server.http + "/v1/models", timeout=5).json()["data"][0]["id"] == "mini"


def test_replicas_that_share_a_core_are_named():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with Server(replicas=2) as server:
            assert any("2 replicas are more than the 1 cores" in line for line in server.log)
    finally:
        os.sched_setaffinity(0, allowed)


def test_replicas_have_disjoint_cores_or_share_them_evenly(server):
    slices = [r["slice"] for r in server.fleet()["replicas"]]
    assert all(s.startswith("cores:") for s in slices)
    if (os.cpu_count() or 1) >= 2:
        assert len(set(slices)) == 2
