"""SIGTERM drains, a second one stops at once, and children never outlive the router."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest
import requests

from sheaf_server import MODEL_FOLDER, SHEAF, Load, Server, environment_without_sheaf, running, wait_until


def wait_gone(pids, timeout_s=5):
    wait_until(lambda: not any(running(pid) for pid in pids), timeout_s, f"replicas {pids} gone")


def test_an_idle_server_ends_at_once_with_0():
    server = Server(replicas=2)
    pids = server.replica_pids()
    begin = time.monotonic()
    server.terminate()
    assert server.wait_exit() == 0
    assert time.monotonic() - begin < 3
    wait_gone(pids)


def test_a_closed_terminal_drains_unless_nohup_ignores_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
    try:
        server = Server(replicas=1)
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_exit() == 0
        assert any("SIGHUP: finishing" in line for line in server.log), server.error_text()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Server(replicas=1) as server:
            server.process.send_signal(signal.SIGHUP)
            assert server.embed("still here").status_code == 200
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_under_load_fails_no_accepted_request(faulty_replica):
    """Requests under way when the signal comes are answered; later ones find no listener."""
    server = Server("--replica-program", faulty_replica, replicas=2,
                    environment={"SHEAF_FAULT_SLOW_US": "300000"})
    pids = server.replica_pids()
    results = []
    def ask(number):
        try:
            results.append(server.embed([f"request {number} text {i}" for i in range(8)]).status_code)
        except requests.RequestException as error:
            results.append(repr(error))
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.fleet()["open_requests"] + len(results) == 40, 20,
               "all requests accepted")
    assert len(results) < 40, "some are still under way"
    server.terminate()
    for thread in threads:
        thread.join()
    assert server.wait_exit() == 0
    assert results == [200] * 40
    with pytest.raises(requests.ConnectionError):
        server.embed("too late")
    wait_gone(pids)


def test_kept_alive_clients_are_told_to_leave():
    server = Server(replicas=1)
    with Load(server, clients=4) as load:
        load.wait_answered(20)
        server.terminate()
        assert server.wait_exit() == 0
        load.stop()
    # Whoever asked again after the goodbye found a closed door; nobody got an error answer.
    assert all("Connection" in failure for failure in load.failures), load.failures[:5]


def test_a_second_signal_stops_at_once(faulty_replica):
    # A text a batch, 0.3 s a batch: 12 s of work are under way.
    server = Server("--replica-program", faulty_replica, "--max-batch-tokens", "256", replicas=1,
                    environment={"SHEAF_FAULT_SLOW_US": "300000"})
    pids = server.replica_pids()
    def ask():
        with contextlib.suppress(requests.RequestException):
            server.embed(["word " * 254] * 40)
    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: server.fleet()["open_requests"] == 1, what="a request under way")
    server.terminate()
    time.sleep(0.5)
    assert server.process.poll() is None, "it waits for the request"
    begin = time.monotonic()
    server.terminate()
    assert server.wait_exit(5) == 1
    assert time.monotonic() - begin < 2
    asking.join()
    wait_gone(pids)


def test_a_second_signal_ends_grpc_calls_too(faulty_replica, stubs):
    server = Server("--replica-program", faulty_replica, "--max-batch-tokens", "256", replicas=1,
                    environment={"SHEAF_FAULT_SLOW_US": "300000"})
    with grpc.insecure_channel(server.grpc) as channel:
        arctic = stubs["arctic_pb2_grpc"].InferenceServiceStub(channel)
        call = arctic.Encode.future(stubs["arctic_pb2"].EncodeRequest(
            request_id="r", n_prompts=40, prompts=["word " * 254] * 40))
        wait_until(lambda: server.fleet()["open_requests"] == 1, what="a request under way")
        server.terminate()
        time.sleep(0.5)
        assert server.process.poll() is None, "it waits for the call"
        begin = time.monotonic()
        server.terminate()
        assert server.wait_exit(10) == 1
        assert time.monotonic() - begin < 2
        assert call.code() != grpc.StatusCode.OK


def test_replicas_follow_a_router_that_is_killed():
    server = Server(replicas=3)
    pids = server.replica_pids()
    assert len(pids) == 3
    server.kill()
    wait_gone(pids)


def start(model, environment):
    return subprocess.Popen([SHEAF, "serve", model, "--port", "0", "--grpc-port", "0"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment_without_sheaf() | environment)


def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ends_at_once_by(sent, process):
    begin = time.monotonic()
    process.send_signal(sent)
    output, log = process.communicate(timeout=30)
    assert time.monotonic() - begin < 1
    assert process.returncode == -sent and output == ""
    assert log.splitlines()[-1].endswith(f"{sent.name} while starting: stopped, nothing was served"), log


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_measures_ends_at_once(sent, tmp_path):
    process = start(MODEL_FOLDER, {"SHEAF_CACHE": str(tmp_path)})
    while "measuring float32" not in process.stderr.readline():
        assert process.poll() is None
    measuring = wait_until(lambda: children_of(process.pid), what="a process that measures")
    ends_at_once_by(sent, process)
    wait_gone(measuring, 1)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_a_start_that_downloads_ends_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as hub:  # which never answers
        environment = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}", "HF_HOME": str(tmp_path),
                       "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
        process = start("org/model", environment)
        hub.accept()
        ends_at_once_by(signal.SIGTERM, process)
