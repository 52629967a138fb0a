"""`--tensor-parallel-size` and `--pipeline-parallel-size` on cards: a rank has a card to itself, a stage a card or MIG slice. On
simulated cards, as the processor plays them, where ranks add up over shared memory; what NCCL does only a machine with cards
shows."""

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
RANKS = "--tensor-parallel-size"
STAGES = "--pipeline-parallel-size"
either = pytest.mark.parametrize("flag", [RANKS, STAGES])


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def on_cards(machine, program, count, *flags, flag=RANKS, replicas=1, **more):
    return Server("--device", "cuda", "--card-program", program, flag, str(count), *flags, replicas=replicas,
                  environment=of(machine, **more))


def environment_of(pid):
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        return dict(word.split("=", 1) for word in file.read().split("\0") if "=" in word)


def cards_of(server):
    """The card that each process sees, by its number; of stages the last is number 0, and the first follows."""
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


@pytest.mark.parametrize("stages, dtype", [(2, "float32"), (2, "bfloat16"), (2, "fp8"), (2, "fp8:1,4"), (3, "bfloat16")])
def test_stages_answer_as_one_card_does(machine, emulated_replica, stages, dtype):
    here = machine(*["h200-141"] * stages)
    texts = TEXTS + ["Its length comes again."] * 4
    with on_cards(here, emulated_replica, 1, "--dtype", dtype) as whole:
        want = [whole.vectors([text]) for text in texts] + [whole.vectors(texts)]
    with on_cards(here, emulated_replica, stages, "--dtype", dtype, flag=STAGES) as server:
        replica, = server.fleet()["replicas"]
        assert replica["ranks"] == stages and replica["slice"] == ",".join(f"gpu:{i}" for i in range(stages))
        cards = cards_of(server)
        assert cards[1:] + cards[:1] == [gpu["uuid"] for gpu in here.facts()["gpus"]], "the first stage on the first card"
        assert not any("NCCL_SOCKET_IFNAME" in environment_of(pid) for _, pid in ranks_of(server))
        got = [server.vectors([text]) for text in texts] + [server.vectors(texts)]
    assert got == want


def test_stages_may_have_mig_slices(machine, emulated_replica):
    """A model that one slice does not hold is divided over two; a list may name cards beside slices."""
    here = machine("a100-40", "h200-141")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "3", "equal")
    instances = here.facts()["gpus"][0]["mig"]["instances"]
    slices = [instance["compute_instances"][0]["slice"] for instance in instances]
    flags = ["--device", "cuda", "--card-program", emulated_replica, "--dtype", "float32", "--gpu-assignment", "mig"]
    whole, parts = estimate(emulated_replica, "float32"), stage_estimates(emulated_replica, "float32")
    memory = instances[0]["memory_bytes"]
    assert max(parts) < whole["total_bytes"] - (16 << 20)
    little = ["--gpu-memory-utilization", f"{(max(parts) + whole['total_bytes']) / 2 / memory:.8f}"]
    said = refusal(*flags, *little, "--num-replicas", "1", environment=of(here))
    assert "does not fit mig:" in said and "a larger card, several (--pipeline-parallel-size), " in said
    with on_cards(here, emulated_replica, 2, "--dtype", "float32", "--gpu-assignment", "mig", *little, flag=STAGES) as server:
        assert server.fleet()["replicas"][0]["slice"] == ",".join(slices[:2])
        assert all(card.startswith("MIG-") for card in cards_of(server))
        want = server.vectors(TEXTS)
    named = f"{slices[2]},gpu:1"
    with on_cards(here, emulated_replica, 2, "--dtype", "float32", "--slices", named, flag=STAGES) as server:
        last, first = cards_of(server)
        assert first.startswith("MIG-") and last.startswith("GPU-")
        assert server.fleet()["replicas"][0]["slice"] == named
        assert server.vectors(TEXTS) == want
        group = [pid for _, pid in ranks_of(server)]
        here.drive("set", "0", "lost", "1")
        wait_until(lambda: server.fleet()["replicas"][0]["state"] == "waiting", 20, "a stage without its slice")
        assert not any(running(pid) for pid in group)
        here.drive("set", "0", "lost", "0")
        new_group(server, group)
        assert cards_of(server) == [last, first] and server.vectors(TEXTS) == want


@either
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_what_befalls_one_befalls_all_and_no_request(machine, emulated_replica, flag, rank, how):
    with on_cards(machine("h200-141", "h200-141"), emulated_replica, 2, flag=flag) as server:
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


@either
def test_each_process_finds_its_weights_again(machine, emulated_replica, flag):
    with on_cards(machine("h200-141", "h200-141"), emulated_replica, 2, flag=flag) as server:
        before = [copy_of(pid) for _, pid in ranks_of(server)]
        assert [how for _, how in before] == ["rw-s", "rw-s"] and before[0][0] != before[1][0]
        assert sorted(slice_name for _, slice_name in makers(server)) == ["gpu:0", "gpu:1"]
        group = [pid for _, pid in ranks_of(server)]
        os.kill(group[1], signal.SIGKILL)
        new_group(server, group)
        after = [copy_of(pid) for _, pid in ranks_of(server)]
        assert after == [(inode, "r--s") for inode, _ in before], "the copies of those that are gone"
        assert len(makers(server)) == 2
        assert server.embed("and answers").status_code == 200


@either
def test_a_group_whose_card_is_lost_moves_to_another(machine, emulated_replica, flag):
    here = machine("h200-141", "h200-141", "h200-141")
    with on_cards(here, emulated_replica, 2, flag=flag) as server, Load(server, clients=2) as load:
        want = server.vectors(TEXTS)
        group, cards = [pid for _, pid in ranks_of(server)], cards_of(server)
        here.drive("set", "0", "lost", "1")
        new_group(server, group)
        assert [a == b for a, b in zip(cards, cards_of(server))].count(True) == 1, "whose card is there keeps it"
        replica, = server.fleet()["replicas"]
        assert replica["slice"] == "gpu:2,gpu:1"
        load.wait_answered(10)
        load.stop()
        assert load.failures == []
        assert server.vectors(TEXTS) == want


@either
def test_a_group_waits_until_it_has_all_its_cards(machine, emulated_replica, flag):
    here = machine("h200-141", "h200-141")
    with on_cards(here, emulated_replica, 2, flag=flag) as server:
        group = [pid for _, pid in ranks_of(server)]
        here.drive("set", "1", "lost", "1")
        waiting = wait_until(lambda: server.fleet()["replicas"][0]["state"] == "waiting" and server.fleet()["replicas"][0],
                             20, "a group without cards")
        assert "slice gpu:1 vanished, and no free slice of its kind has" in waiting["last_death"]
        assert not any(running(pid) for pid in group)
        here.drive("set", "1", "lost", "0")
        new_group(server, group)
        assert server.embed("again").status_code == 200


def estimate(program, dtype, *flags):
    done = subprocess.run([program, "estimate", "--model", MODEL_FOLDER, "--dtype", dtype, *flags], capture_output=True,
                          text=True, check=True, timeout=60)
    return json.loads(done.stdout)["card"]


def stage_estimates(program, dtype):
    """What each of two stages takes of its card, three layers on each."""
    return [estimate(program, dtype, "--stage", stage, "--stages", "2", "--first-layer", first, "--layers", "3")["total_bytes"]
            for stage, first in [("0", "0"), ("1", "3")]]


def needed_bytes(said, slices):
    """Of the row of the placement's table for these slices."""
    needed, unit = re.search(rf"{slices} +([\d.]+) ([MG]iB)", said).groups()
    return float(needed) * {"MiB": 1 << 20, "GiB": 1 << 30}[unit]


def test_cards_are_taken_whole_and_counted_by_rank(machine, emulated_replica):
    whole = estimate(emulated_replica, "bfloat16")
    first, second = (estimate(emulated_replica, "bfloat16", "--rank", rank, "--ranks", "2") for rank in "01")
    assert first == second
    # A part of the layers, all of the table of words.
    assert 0.5 * whole["weights_bytes"] < first["weights_bytes"] < 0.85 * whole["weights_bytes"]
    assert first["context_bytes"] - whole["context_bytes"] == 512 << 20, "what NCCL takes"
    here = machine(*["l4"] * 4)
    said = check("--device", "cuda", "--card-program", emulated_replica, RANKS, "2", environment=of(here))
    assert re.findall(r"gpu:\d,gpu:\d", said) == ["gpu:0,gpu:1", "gpu:2,gpu:3"], "as many as cards suffice for"
    assert needed_bytes(said, "gpu:0,gpu:1") == pytest.approx(first["total_bytes"], rel=0.05)


def test_check_says_who_has_which_layers_and_counts_the_fullest(machine, emulated_replica):
    here = machine(*["l4"] * 4)
    flags = ["--device", "cuda", "--card-program", emulated_replica, "--dtype", "bfloat16", STAGES, "2"]
    said = check(*flags, environment=of(here))
    assert "stage 0: words, layers 0-2, " in said and "; stage 1: layers 3-5, pooling, " in said
    assert re.findall(r"gpu:\d,gpu:\d", said) == ["gpu:0,gpu:1", "gpu:2,gpu:3"]
    parts = stage_estimates(emulated_replica, "bfloat16")
    assert needed_bytes(said, "gpu:0,gpu:1") == pytest.approx(max(parts), abs=64 << 10)
    assert max(parts) - min(parts) > 16 << 20, "the first has the words"
    # Where the words leave little room for layers the last stage has more of them.
    part = (max(parts) - (6 << 20)) / here.facts()["gpus"][0]["memory_bytes"]
    said = check(*flags, "--gpu-memory-utilization", f"{part:.8f}", environment=of(here))
    assert re.search(r"stage 0: words, layers? 0(-1)?, ", said), said


def test_what_cannot_be_is_refused(machine, emulated_replica):
    here = machine("h200-141", "h200-141")
    flags = ["--device", "cuda", "--card-program", emulated_replica]

    def refused(count, *more, flag=RANKS, **variables):
        said = refusal(*flags, flag, str(count), *more, environment=of(here, **variables))
        assert f"{flag} {count}: " in said, said
        return said.split(f"{flag} {count}: ", 1)[1]

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
    assert refused(7, flag=STAGES) == "6 layers cannot be divided into 7 stages"
    assert refused(4, flag=STAGES) == "its stages take 4 cards or MIG slices, and 2 are free"
    assert refused(4, flag=STAGES, SHEAF_FAULT_NO_SUMS=missing) == refused(4, flag=STAGES), "stages add up nothing"
    for way in ("shared", "time", "mps"):
        assert refused(2, "--gpu-assignment", way, flag=STAGES) == (
            f"each stage takes a card or MIG slice to itself: --gpu-assignment dedicated, not {way}")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "2", "equal")
    assert refused(2) == "its ranks take 2 cards, and 1 is free; NCCL does not work across MIG slices"
    assert refused(2, "--slices", "0") == "mig:0/1 is a MIG slice, and NCCL does not work across MIG slices; name whole cards"
