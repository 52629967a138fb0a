"""Replicas die, hang and stop under load: no request fails."""

import os
import random
import signal
import threading
import time

import pytest
import requests

from sheaf_server import Load, Server, wait_until

# `make soak` sets it: hundreds of kills rather than a handful.
SOAK = os.environ.get("SHEAF_SOAK") == "1"
BACK_TO_SIZE_S = 2.0


def back_to_size(server, size, gone):
    """Seconds until `size` replicas are ready, none of them with a pid of `gone`."""
    begin = time.monotonic()
    wait_until(lambda: len(set(server.replica_pids()) - set(gone)) == size, 15, "back to size")
    return time.monotonic() - begin


def test_kill_9_under_load():
    with Server(replicas=3) as server, Load(server) as load:
        times = []
        for _ in range(5):
            victim = server.wait_full(3)[0]
            os.kill(victim, signal.SIGKILL)
            times.append(back_to_size(server, 3, [victim]))
            load.wait_answered(10)
        load.stop()
        print(f"\nback to size after kill -9: {[f'{t:.2f} s' for t in times]}, "
              f"{load.answered} requests")
        assert load.failures == []
        assert sorted(times)[len(times) // 2] < BACK_TO_SIZE_S


def test_kill_stop_under_load():
    with Server(replicas=2) as server, Load(server) as load:
        times = []
        for _ in range(3):
            victim = server.wait_full(2)[0]
            os.kill(victim, signal.SIGSTOP)
            times.append(back_to_size(server, 2, [victim]))
            load.wait_answered(10)
        load.stop()
        print(f"\nback to size after kill -STOP: {[f'{t:.2f} s' for t in times]}, "
              f"{load.answered} requests")
        assert load.failures == []
        # 0.5 s to notice, 2 s to replace.
        assert sorted(times)[len(times) // 2] < 0.5 + BACK_TO_SIZE_S


def test_many_kills_in_a_row():
    kills, requests_min = (200, 20_000) if SOAK else (20, 500)
    rng = random.Random(1)
    with Server("--log-level", "error", replicas=3) as server, Load(server, clients=12) as load:
        for _ in range(kills):
            pids = wait_until(server.replica_pids, 10, "any replica")
            try:
                os.kill(rng.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                continue  # it died between the question and the kill
            time.sleep(rng.random() * 0.1)
        wait_until(lambda: load.answered >= requests_min, 1800, f"{requests_min} requests")
        server.wait_full(3)
        load.stop()
        print(f"\n{kills} kills, {load.answered} requests, {len(load.failures)} failed")
        assert load.failures == []
        restarts = sum(r["restarts"] for r in server.fleet()["replicas"])
        assert restarts >= kills * 0.9


def test_all_dead_is_said_at_once_and_requests_wait():
    with Server(replicas=2) as server:
        pids = server.wait_full(2)
        answers = []
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # so that none is replaced before all are gone
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        asking = threading.Thread(target=lambda: answers.append(server.embed("patient")))
        asking.start()
        said = wait_until(lambda: requests.get(server.http + "/health", timeout=5).status_code == 503
                          or server.replica_pids(), 1, "unhealthy, or back already")
        asking.join()
        assert said and answers[0].status_code == 200
        server.wait_full(2)
        assert requests.get(server.http + "/health", timeout=5).status_code == 200


def replica_that_only_packs(path, instead_of_running):
    real = Server.__init__.__globals__["BIN"] / "sheaf-replica"
    path.write_text(f'#!/bin/sh\n[ "$1" = run ] && {instead_of_running}\nexec {real} "$@"\n')
    path.chmod(0o755)
    return path


def test_when_all_replicas_are_broken_503_at_once_with_the_reason(tmp_path):
    program = replica_that_only_packs(tmp_path / "exits", "exit 3")
    with Server("--replica-program", program, replicas=1, ready=False) as server:
        answer = server.embed("waits for the breaker, not for ten seconds", timeout=30)
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert "exit code 3" in answer.text
        begin = time.monotonic()
        assert server.embed("no more waiting", timeout=30).status_code == 503
        assert time.monotonic() - begin < 1
        assert "exit code 3" in requests.get(server.http + "/health", timeout=5).text


def test_without_any_replica_503_after_10_seconds(tmp_path):
    """A replica program that packs, and then never gets ready."""
    program = replica_that_only_packs(tmp_path / "never-ready", "exec sleep 100")
    with Server("--replica-program", program, replicas=1, ready=False) as server:
        begin = time.monotonic()
        health = requests.get(server.http + "/health", timeout=5)
        assert health.status_code == 503 and time.monotonic() - begin < 1.5
        assert requests.get(server.http + "/health/live", timeout=5).status_code == 200
        begin = time.monotonic()
        answer = server.embed("waits", timeout=30)
        waited = time.monotonic() - begin
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
        assert 8 < waited < 14, f"waited {waited:.1f} s"
        short = requests.post(server.http + "/v1/embeddings", json={"input": "x"}, timeout=10,
                              headers={"x-request-timeout-ms": "500"})
        assert short.status_code in (503, 504)


def token_of(server, word):
    tokens = requests.post(server.http + "/tokenize", timeout=10,
                           json={"inputs": word, "add_special_tokens": False}).json()[0]
    assert len(tokens) == 1
    return tokens[0]["id"]


@pytest.mark.parametrize("hook", ["CRASH", "HANG", "EXIT", "FAIL", "FULL"])
def test_a_poisonous_text_is_refused_and_innocents_succeed(server, faulty_replica, hook):
    poison = token_of(server, "poison")
    with Server("--replica-program", faulty_replica, replicas=2,
                environment={f"SHEAF_FAULT_{hook}_ID": str(poison)}) as hurt:
        answers = {}
        def ask(name, texts):
            answers[name] = hurt.embed(texts, timeout=90)
        with Load(hurt, clients=4) as load:
            threads = [threading.Thread(target=ask, args=("poison", ["a text with poison in it"]))]
            threads += [threading.Thread(target=ask, args=(i, [f"innocent {i} {j}" for j in range(5)]))
                        for i in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            load.wait_answered(20)
            load.stop()
        assert load.failures == []
        assert all(answers[i].status_code == 200 for i in range(10))
        refused = answers["poison"]
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["code"] == "poisonous_input"
        hurt.wait_full(2, 30)
        assert hurt.embed("after all that").status_code == 200


def test_one_poisonous_text_among_many_of_a_request(server, faulty_replica):
    poison = token_of(server, "poison")
    with Server("--replica-program", faulty_replica, replicas=1,
                environment={"SHEAF_FAULT_CRASH_ID": str(poison)}) as hurt:
        refused = hurt.embed([f"text {i}" for i in range(30)] + ["poison"], timeout=90)
        assert refused.status_code == 400
        assert "30" in refused.json()["error"]["message"], "it names the text"
