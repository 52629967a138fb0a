"""Replicas of one card share one copy of the weights: on simulated cards, as the processor plays them, where a copy is a memfd."""

import os
import re
import signal

import pytest

from sheaf_server import Server, running, wait_until
from simulated_machine import Machine

KEPT = ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER", "LD_LIBRARY_PATH")
TEXTS = ["A card answers.", "Whoever made what it reads of may be gone.", "Short."]
BROUGHT = re.compile(r"replica (\d+) brought the weights of \S+ to the card of slice (\S+),")


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def serve(machine, program, replicas, *flags, ready=True, **more):
    environment = {name: machine.environment[name] for name in KEPT} | more
    return Server("--device", "cuda", "--card-program", program, *flags, replicas=replicas, environment=environment,
                  ready=ready)


def copy_of(pid):
    """The one copy of weights on a card that a process maps, and how: its inode, and "rw-s" or "r--s"."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        (mapping,) = [line.split() for line in maps if "memfd:sheaf-card-weights" in line]
    return mapping[4], mapping[1]


def copies(pids):
    return {copy_of(pid)[0] for pid in pids}


def makers(server):
    return [BROUGHT.search(line).groups() for line in server.log if BROUGHT.search(line)]


def replica(server, name):
    (one,) = [r for r in server.fleet()["replicas"] if r["name"] == name]
    return one


def answers_by_replica(server, names):
    """{replica: what it answers}, once each has been asked."""
    answers = {}

    def ask():
        answer = server.embed(TEXTS, encoding_format="base64")
        answers[answer.headers["x-sheaf-replica"]] = [row["embedding"] for row in answer.json()["data"]]
        return names <= set(answers)

    wait_until(ask, 60, f"answers of {names}")
    return answers


def test_a_copy_is_made_once_and_outlives_its_maker(machine, emulated_replica):
    with serve(machine("h200-141"), emulated_replica, 3) as server:
        pids = server.wait_full(3, 30)
        assert len(copies(pids)) == 1
        ((maker, slice_name),) = makers(server)
        assert slice_name == replica(server, maker)["slice"]
        first = replica(server, maker)["pid"]
        assert copy_of(first)[1] == "rw-s"
        assert [copy_of(pid)[1] for pid in pids if pid != first] == ["r--s", "r--s"]
        before = answers_by_replica(server, {"0", "1", "2"})
        assert before["0"] == before["1"] == before["2"]

        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not running(first), 10, "the maker's end")
        after = wait_until(lambda: first not in (now := server.replica_pids()) and len(now) == 3 and now, 30, "another")
        assert copies(after) == copies(set(after) & set(pids)), "the old copy"
        assert copy_of(replica(server, maker)["pid"])[1] == "r--s", "which the new one cannot have written"
        assert len(makers(server)) == 1
        assert answers_by_replica(server, {"0", "1", "2"}) == before


def test_each_card_has_its_own(machine, emulated_replica):
    with serve(machine("h200-141", "h200-141"), emulated_replica, 4) as server:
        pids = server.wait_full(4, 40)
        assert len(copies(pids)) == 2
        for gpu in "01":
            there = [r["pid"] for r in server.fleet()["replicas"] if r["slice"].split(":")[1].startswith(gpu)]
            assert len(there) == 2 and len(copies(there)) == 1


def test_a_maker_that_dies_is_followed_by_another(machine, emulated_replica):
    """Those that wait for its copy do not wait for ever, nor does each make one."""
    with serve(machine("h200-141"), emulated_replica, 3, ready=False) as server:
        starting = wait_until(lambda: [r["pid"] for r in server.fleet()["replicas"] if r["pid"]], 30, "a process")
        assert len(starting) == 1, "the others wait"
        os.kill(starting[0], signal.SIGKILL)
        pids = server.wait_full(3, 40)
        assert starting[0] not in pids
        assert len(copies(pids)) == 1 and len(makers(server)) == 1


@pytest.mark.parametrize("spoilt, sentence", [
    ("0", "the weights on the card are of another model or layout"),
    ("4096", r"the weights on the card have 4096 bytes, not \d+"),
])
def test_a_copy_that_is_not_what_it_should_be_is_refused(machine, emulated_replica, spoilt, sentence):
    with serve(machine("h200-141"), emulated_replica, 2, SHEAF_FAULT_CARD_COPY=spoilt) as server:
        pids = server.wait_full(2, 30)
        assert len({copy_of(pid) for pid in pids}) == 2, "each made its own"
        said = [line for line in server.log if "the weights are copied to the card once more: " in line]
        assert len(said) == 1 and re.search(sentence, said[0])
        answers = answers_by_replica(server, {"0", "1"})
        assert answers["0"] == answers["1"]


def test_nothing_is_kept_of_a_card_that_failed(machine, emulated_replica):
    here = machine("h200-141")
    with serve(here, emulated_replica, 2) as server:
        pids = server.wait_full(2, 30)
        (before,) = copies(pids)
        here.drive("xid", "0", "94")
        after = wait_until(lambda: not set(now := server.replica_pids()) & set(pids) and len(now) == 2 and now, 40, "new ones")
        assert copies(after) != {before} and len(copies(after)) == 1
        assert len(makers(server)) == 2
