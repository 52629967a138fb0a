"""`--tensor-parallel-size` on cards: a rank has a card to itself. On simulated cards, as the processor plays them, where ranks
add up over shared memory; what NCCL does only a machine with cards shows."""

import json
import os
import re
import signal
import subprocess

import numpy
import pytest

from sheaf_server import MODEL_FOLDER, Load, Server, running, wait_until
from simulated_machine import Machine
from test_card_serving import check, cosines, of, refusal
from test_card_weights import copy_of, makers
from test_ranks import new_group, ranks_of

TEXTS = ["One.", "Two of them, and somewhat longer than the first.", "A third text. " * 40]
FLAG = "--tensor-parallel-size"


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def on_cards(machine, program, ranks, *flags, replicas=1, **more):
    return Server("--device", "cuda", "--card-program", program, FLAG, str(ranks), *flags, replicas=replicas,
                  environment=of(machine, **more))


def environment_of(pid):
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        return dict(word.split("=", 1) for word in file.read().split("\0") if "=" in word)


def cards_of(server):
    """The card that each rank sees."""
    return [environment_of(pid)["CUDA_VISIBLE_DEVICES"] for _, pid in ranks_of(server)]


@pytest.mark.parametrize("ranks, cards", [(2, 2), (4, 4)])
def test_vectors_are_those_of_one_card(machine, emulated_replica, ranks, cards):
    here = machine(*["h200-141"] * cards)
    with on_cards(here, emulated_replica, 1, "--dtype", "float32") as whole:
        want = numpy.array(whole.vectors(TEXTS))
    with on_cards(here, emulated_replica, ranks, "--dtype", "float32") as server:
        assert [rank for rank, _ in ranks_of(server)] == list(range(ranks))
        assert len(set(cards_of(server))) == ranks
        assert {environment_of(pid)["NCCL_SOCKET_IFNAME"] for _, pid in ranks_of(server)} == {"lo"}
        replica, = server.fleet()["replicas"]
        assert replica["ranks"] == ranks
        assert replica["slice"] == ",".join(f"gpu:{i}" for i in range(ranks))
        answer = server.embed(TEXTS)
        assert answer.headers["x-sheaf-slice"] == replica["slice"] and answer.headers["x-compute-type"] == "gpu"
        got = numpy.array(server.vectors(TEXTS))
        assert (numpy.array(server.vectors(TEXTS)) == got).all()
    assert numpy.abs(got - want).max() < 1e-5


def test_bfloat16_differs_by_no_more_than_on_one_card(machine, emulated_replica):
    """Sums are float32, whatever states are: dividing adds no rounding."""
    here = machine("h200-141", "h200-141")
    with on_cards(here, emulated_replica, 1, "--dtype", "float32") as exact:
        want = exact.vectors(TEXTS)
    with on_cards(here, emulated_replica, 1, "--dtype", "bfloat16") as whole:
        of_one = 1 - min(cosines(whole.vectors(TEXTS), want))
    with on_cards(here, emulated_replica, 2, "--dtype", "auto") as server:
        of_two = 1 - min(cosines(server.vectors(TEXTS), want))
    print(f"\n1 - cosine in bfloat16: one card {of_one:.2e}, two {of_two:.2e}")
    assert of_two < 1.5 * of_one + 1e-6


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_what_befalls_one_befalls_all_and_no_request(machine, emulated_replica, rank, how):
    with on_cards(machine("h200-141", "h200-141"), emulated_replica, 2) as server:
        want = server.vectors(TEXTS)
        with Load(server, clients=4) as load:
            for _ in range(2):
                group = ranks_of(server)
                os.kill(group[rank][1], how)
                new_group(server, [pid for _, pid in group])
                assert not any(running(pid) for _, pid in group)
                load.wait_answered(10)
            load.stop()
            assert load.failures == []
        replica, = server.fleet()["replicas"]
        assert replica["restarts"] == 2 and replica["state"] == "ready"
        assert server.vectors(TEXTS) == want


def test_each_rank_finds_its_weights_again(machine, emulated_replica):
    with on_cards(machine("h200-141", "h200-141"), emulated_replica, 2) as server:
        before = [copy_of(pid) for _, pid in ranks_of(server)]
        assert [how for _, how in before] == ["rw-s", "rw-s"] and before[0][0] != before[1][0]
        assert [slice_name for _, slice_name in makers(server)] == ["gpu:0", "gpu:1"]
        group = [pid for _, pid in ranks_of(server)]
        os.kill(group[1], signal.SIGKILL)
        new_group(server, group)
        after = [copy_of(pid) for _, pid in ranks_of(server)]
        assert after == [(inode, "r--s") for inode, _ in before], "the copies of those that are gone"
        assert len(makers(server)) == 2
        assert server.embed("and answers").status_code == 200


def test_a_group_whose_card_is_lost_moves_to_another(machine, emulated_replica):
    here = machine("h200-141", "h200-141", "h200-141")
    with on_cards(here, emulated_replica, 2) as server, Load(server, clients=2) as load:
        want = server.vectors(TEXTS)
        group, cards = [pid for _, pid in ranks_of(server)], cards_of(server)
        here.drive("set", "0", "lost", "1")
        new_group(server, group)
        assert cards_of(server)[1] == cards[1], "whose card is there keeps it"
        replica, = server.fleet()["replicas"]
        assert replica["slice"] == "gpu:2,gpu:1"
        load.wait_answered(10)
        load.stop()
        assert load.failures == []
        assert server.vectors(TEXTS) == want


def test_a_group_waits_until_it_has_all_its_cards(machine, emulated_replica):
    here = machine("h200-141", "h200-141")
    with on_cards(here, emulated_replica, 2) as server:
        group = [pid for _, pid in ranks_of(server)]
        here.drive("set", "1", "lost", "1")
        waiting = wait_until(lambda: server.fleet()["replicas"][0]["state"] == "waiting" and server.fleet()["replicas"][0],
                             20, "a group without cards")
        assert "slice gpu:1 vanished, and no free slice of its kind has" in waiting["last_death"]
        assert not any(running(pid) for pid in group)
        here.drive("set", "1", "lost", "0")
        new_group(server, group)
        assert server.embed("again").status_code == 200


def estimate(program, *flags):
    done = subprocess.run([program, "estimate", "--model", MODEL_FOLDER, "--dtype", "bfloat16", *flags], capture_output=True,
                          text=True, check=True, timeout=60)
    return json.loads(done.stdout)["card"]


def test_cards_are_taken_whole_and_counted_by_rank(machine, emulated_replica):
    whole = estimate(emulated_replica)
    first, second = (estimate(emulated_replica, "--rank", rank, "--ranks", "2") for rank in "01")
    assert first == second
    # A part of the layers, all of the table of words.
    assert 0.5 * whole["weights_bytes"] < first["weights_bytes"] < 0.85 * whole["weights_bytes"]
    assert first["context_bytes"] - whole["context_bytes"] == 512 << 20, "what NCCL takes"
    here = machine(*["l4"] * 4)
    said = check("--device", "cuda", "--card-program", emulated_replica, FLAG, "2", environment=of(here))
    rows = re.findall(r"(gpu:\d,gpu:\d) +([\d.]+ [MG]iB)", said)
    assert [cards for cards, _ in rows] == ["gpu:0,gpu:1", "gpu:2,gpu:3"], "as many as cards suffice for"
    needed, unit = rows[0][1].split()
    assert float(needed) * {"MiB": 1 << 20, "GiB": 1 << 30}[unit] == pytest.approx(first["total_bytes"], rel=0.05)


def test_what_cannot_be_is_refused(machine, emulated_replica):
    here = machine("h200-141", "h200-141")
    flags = ["--device", "cuda", "--card-program", emulated_replica]

    def refused(ranks, *more, **variables):
        said = refusal(*flags, FLAG, str(ranks), *more, environment=of(here, **variables))
        assert f"{FLAG} {ranks}: " in said, said
        return said.split(f"{FLAG} {ranks}: ", 1)[1]

    assert refused(5) == "12 heads cannot be divided over 5 ranks"
    assert refused(4) == "its ranks take 4 cards, and 2 are free"
    assert refused(2, "--num-replicas", "2") == "the ranks of 2 replicas take 4 cards, and 2 are free"
    missing = "there is no NCCL (libnccl.so.2 where the loader looks)"
    assert refused(2, SHEAF_FAULT_NO_SUMS=missing) == missing
    for way in ("shared", "time", "mps"):
        assert refused(2, "--gpu-assignment", way) == (
            "each rank takes a card to itself, since NCCL refuses two on one: "
            f"--gpu-assignment dedicated, not {way}")
    assert refused(2, "--gpu-assignment", "mig") == (
        "NCCL does not work across MIG slices; --gpu-assignment dedicated takes whole cards")
    assert refused(2, "--slices", "gpu:1") == "its ranks take 2 cards, and 1 is in its list"
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "2", "equal")
    assert refused(2) == "its ranks take 2 cards, and 1 is free; NCCL does not work across MIG slices"
    assert refused(2, "--slices", "0") == "mig:0/1 is a MIG slice, and NCCL does not work across MIG slices; name whole cards"
