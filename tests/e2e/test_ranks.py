"""`--tensor-parallel-size`: a replica is a group of processes that live, work and die as one; as those of stages do (test_stages.py)."""

import os
import pathlib
import signal
import subprocess
import time

import numpy
import pytest

from sheaf_server import MODEL, MODEL_FOLDER, SHEAF, Load, Server, environment_without_sheaf, running, wait_until
from simulated_machine import Machine
from test_card_serving import of
from test_faults import token_of

CORES = sorted(os.sched_getaffinity(0))
TEXTS = ["One.", "Two of them, and somewhat longer than the first.", "A third text. " * 40]

needs_two_cores = pytest.mark.skipif(len(CORES) < 2, reason="each process takes a core")


def ranks_of(server):
    """(rank, pid) of the server's replicas' processes that are running, lowest rank first."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(errors="replace").split("\0")  # of any program
            parent = int((folder / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        pid = int(folder.name)
        if parent == server.pid and "run" in words and "--rank" in words and running(pid):
            found.append((int(words[words.index("--rank") + 1]), pid))
    return sorted(found)


def divided(ranks=2, *flags, **options):
    return Server("--tensor-parallel-size", str(ranks), *flags, **{"replicas": 1} | options)


def staged(stages=2, *flags, **options):
    return Server("--pipeline-parallel-size", str(stages), *flags, **{"replicas": 1} | options)


# What lives, works and dies as one, whatever it is divided into.
either = pytest.mark.parametrize("start", [divided, staged])


def refusal(*flags, environment=None):
    done = subprocess.run([SHEAF, "serve", f"{MODEL}={MODEL_FOLDER}", "--check", *flags], capture_output=True, text=True,
                          env=environment_without_sheaf() | (environment or {}), timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.strip()


def new_group(server, gone, ranks=2):
    """Waits until there is a group without any of those pids, which answers."""
    def is_there():
        pids = {pid for _, pid in ranks_of(server)}
        return len(pids) == ranks and not pids & set(gone)

    wait_until(is_there, 15, "a new group")
    server.wait_full(1, 15)


@needs_two_cores
def test_vectors_are_those_of_one_process():
    with Server(replicas=1) as whole:
        want = numpy.array(whole.vectors(TEXTS))
    with divided() as server:
        assert [rank for rank, _ in ranks_of(server)] == [0, 1]
        replica, = server.fleet()["replicas"]
        pids = [pid for _, pid in ranks_of(server)]
        assert replica["ranks"] == 2 and replica["pid"] == pids[0]
        assert [process["pid"] for process in replica["processes"]] == pids
        assert all(process["memory_bytes"] > 1 << 20 for process in replica["processes"])
        got = numpy.array(server.vectors(TEXTS))
        bad = server.session.post(server.http + "/v1/embeddings", json={"input": "x", "dimensions": 4000})
        assert bad.status_code == 400
        again = numpy.array(server.vectors(TEXTS))
    assert numpy.abs(got - want).max() < 1e-5
    assert (again == got).all()


@needs_two_cores
def test_bfloat16_is_divided_too():
    with Server("--dtype", "float32", replicas=1) as whole:
        want = numpy.array(whole.vectors(TEXTS))
    with divided(2, "--dtype", "auto") as server:
        got = numpy.array(server.vectors(TEXTS))
    assert (got * want).sum(axis=1).min() > 0.995


@needs_two_cores
@either
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_what_befalls_one_befalls_all_and_no_request(start, rank, how):
    with start() as server, Load(server, clients=4) as load:
        want = server.vectors(TEXTS)
        for _ in range(3):
            group = ranks_of(server)
            begin = time.monotonic()
            os.kill(group[rank][1], how)
            new_group(server, [pid for _, pid in group])
            print(f"\nback after {how.name} of rank {rank}: {time.monotonic() - begin:.2f} s")
            assert not any(running(pid) for _, pid in group)
            load.wait_answered(10)
            assert server.vectors(TEXTS) == want
        load.stop()
        assert load.failures == []
        replica, = server.fleet()["replicas"]
        assert replica["restarts"] == 3 and replica["state"] == "ready"


@needs_two_cores
@either
def test_one_that_is_stopped_is_found_without_work(start):
    with start() as server:
        group = ranks_of(server)
        os.kill(group[1][1], signal.SIGSTOP)
        new_group(server, [pid for _, pid in group])
        assert server.embed("after it").status_code == 200


@needs_two_cores
@either
@pytest.mark.parametrize("fault", ["CRASH", "HANG"])
def test_a_text_that_ends_all_is_refused_and_others_live(start, faulty_replica, fault):
    with start() as server:
        poison = token_of(server, "poison")
    with start(2, "--replica-program", faulty_replica, environment={f"SHEAF_FAULT_{fault}_ID": str(poison)}) as server:
        assert server.embed("fine").status_code == 200
        refused = server.embed("poison")
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["code"] == "poisonous_input"
        assert server.embed("fine").status_code == 200


@needs_two_cores
@either
def test_the_end_of_the_server_is_the_end_of_all(start):
    server = start()
    group = ranks_of(server)
    server.terminate()
    assert server.wait_exit() == 0
    wait_until(lambda: not any(running(pid) for _, pid in group), 5, "processes gone")
    server = start()
    group = ranks_of(server)
    server.kill()
    wait_until(lambda: not any(running(pid) for _, pid in group), 5, "processes gone after kill -9 of their server")


def test_what_cannot_be_divided_is_refused(tmp_path):
    model = f"sheaf serve: model {MODEL}: --tensor-parallel-size"
    assert refusal("--tensor-parallel-size", "5") == f"{model} 5: 12 heads cannot be divided over 5 ranks"
    one = f"cores:{CORES[0]}"
    assert refusal("--tensor-parallel-size", "2", "--slices", one) == (
        f"{model} 2: each process of a replica takes a core, and replica 0 of 1 has 1 ({one}); "
        "fewer replicas, or fewer processes of each, would fit")
    here = Machine(tmp_path, "h200-141", "h200-141")
    assert refusal("--tensor-parallel-size", "2", "--device", "cuda", environment=of(here)) == (
        f"{model} 2: the processor stands in for simulated cards, over which it divides no model; "
        "--device cpu divides it over cores")
