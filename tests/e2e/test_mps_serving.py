"""`sheaf serve --gpu-assignment mps`: daemons started, kept, and left or stopped; a stand-in for NVIDIA's program, on
simulated cards."""

import json
import os
import signal

import pytest

from sheaf_server import Load, wait_until
from test_leases import STAND_IN, daemons, drive_mps
from test_slice_serving import machine, mig_slices, refused, serve, slices_of, variables_of  # noqa: F401 (a fixture)
from test_slices import Helper

FLAGS = ("--gpu-assignment", "mps", "--num-gpus", "1")
CONTROL = {"SHEAF_MPS_CONTROL": str(STAND_IN)}


@pytest.fixture
def machine_with_mps(machine):  # noqa: F811
    made = []

    def make(*cards):
        made.append(machine(*cards))
        made[-1].environment |= CONTROL
        return made[-1]

    yield make
    for here in made:
        for daemon in daemons(here):
            os.killpg(daemon["pid"], signal.SIGKILL)


@pytest.fixture
def cards(machine_with_mps):
    return machine_with_mps("l4", "l4")


@pytest.fixture(params=["directly", "by the helper"])
def kept(cards, request):
    """Who starts daemons and keeps them: `sheaf serve` itself, or the helper."""
    if request.param == "directly":
        yield cards
        return
    with Helper(cards):
        yield cards


def join(here, pids):
    """Makes these processes clients of the only daemon, and waits until its keeper has seen them."""
    (daemon,) = daemons(here)
    for pid in pids:
        drive_mps(here, daemon["uuid"], "test", "client", str(pid))
    state = here.folder / f"run/mps/{daemon['uuid']}/state"
    wait_until(lambda: json.loads(state.read_text())["clients"] == list(pids), 20, "the keeper's look")
    return daemon


def both_are_new(server, old):
    return wait_until(lambda: len(now := server.replica_pids()) == 2 and not set(now) & set(old) and now, 20,
                      "two new replicas")


def test_a_daemon_is_started_kept_and_stopped(kept):
    with serve(kept, *FLAGS, **CONTROL) as server:
        assert slices_of(server) == ["mps:0#0", "mps:0#1"]
        assert any("MPS of GPU 0 was started" in line for line in server.log)
        pids = server.wait_full(2)
        daemon = join(kept, pids)
        folder = str(kept.folder / f"run/mps/{daemon['uuid']}/pipe")
        assert {variables_of(pid)["CUDA_MPS_PIPE_DIRECTORY"] for pid in pids} == {folder}
        with Load(server, clients=2, texts=1) as load:
            load.wait_answered(20)
            os.kill(daemon["pid"], signal.SIGKILL)
            both_are_new(server, pids)
            load.wait_answered(50)
        assert load.failures == []
        wait_until(lambda: daemons(kept)[0]["generation"] == 2, 20, "the second start")
        last = daemons(kept)[0]["last_event"]
        assert last["what"] == "ended" and last["clients"] == pids
        assert slices_of(server) == ["mps:0#0", "mps:0#1"]
        assert any("on mps:0#0 starts again: its MPS daemon" in line for line in server.log)
        assert not any("poison" in line or "broken" in line for line in server.log)
        server.terminate()
        assert server.wait_exit() == 0
    assert daemons(kept) == []


def test_a_fault_restarts_all_clients(cards):
    with serve(cards, *FLAGS, **CONTROL) as server:
        pids = server.wait_full(2)
        daemon = join(cards, pids)
        with Load(server, clients=2, texts=1) as load:
            drive_mps(cards, daemon["uuid"], "test", "fault")
            both_are_new(server, pids)
            load.wait_answered(20)
        assert load.failures == []
        assert daemons(cards)[0]["last_event"]["what"] == "fault"
        assert daemons(cards)[0]["generation"] == 1


def test_what_others_use_stays(cards):
    with serve(cards, *FLAGS, replicas=1, **CONTROL) as server:
        join(cards, [os.getpid()])
        server.terminate()
        assert server.wait_exit() == 0
        assert any("MPS stays: MPS of GPU 0 has clients" in line for line in server.log)
    assert daemons(cards)[0]["state"] == "running"


def test_what_ran_before_is_used_kept_and_left(cards):
    cards.sheaf("mps", "start", "--gpu", "0", "--thread-percentage", "70")
    first = daemons(cards)[0]
    with serve(cards, *FLAGS, replicas=1, **CONTROL) as server:
        assert daemons(cards)[0]["pid"] == first["pid"]
        os.kill(first["pid"], signal.SIGKILL)
        wait_until(lambda: daemons(cards)[0]["generation"] == 2, 20, "the second start")
        server.wait_full(1)
    (daemon,) = daemons(cards)
    assert daemon["state"] == "running" and daemon["thread_percentage"] == 70


def test_replicas_that_move_find_a_daemon(cards):
    with serve(cards, *FLAGS, **CONTROL) as server:
        with Load(server, clients=2, texts=1) as load:
            cards.drive("set", "0", "lost", "1")
            wait_until(lambda: slices_of(server) == ["mps:1#0", "mps:1#1"], 10, "the move")
            server.wait_full(2, 20)
            load.wait_answered(20)
        assert load.failures == []
        assert sorted(one["text"] for one in daemons(cards)) == ["GPU 0", "GPU 1"]


def test_a_slice_that_is_drained_loses_its_daemon(machine_with_mps):
    here = machine_with_mps("h200-141")
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", "2*1g.18gb")
    uuids = mig_slices(here)
    with serve(here, "--gpu-assignment", "mps", replicas=1, **CONTROL) as server:
        (used,) = slices_of(server)
        place = "mig:" + used.removeprefix("mps:").removesuffix("#0")
        assert [one["uuid"] for one in daemons(here)] == [uuids[place]]
        with Load(server, clients=2, texts=1) as load:
            here.sheaf("mig", "destroy", uuids[place], "--drain")
            server.wait_full(1, 20)
            load.wait_answered(20)
        assert load.failures == []
        assert mig_slices(here).keys() == uuids.keys() - {place}
        assert [one["uuid"] for one in daemons(here)] == [*mig_slices(here).values()]


def test_check_starts_nothing(cards):
    said = refused(cards, *FLAGS, code=0, **CONTROL)
    assert "slice mps:0#0 has no MPS daemon: `sheaf serve` starts one" in said
    assert daemons(cards) == []


def test_without_the_right_to_start_it_says_who_can(cards):
    uuid = cards.facts()["gpus"][0]["uuid"]
    with pytest.raises(AssertionError) as refusal:
        cards.environment["SHEAF_SLICES_FOLDER"] = "/sys/sheaf"
        serve(cards, *FLAGS, **CONTROL)
    cards.environment["SHEAF_SLICES_FOLDER"] = str(cards.folder / "run")
    assert f"slice mps:0#0 has no MPS daemon: `sheaf slices mps start --gpu {uuid}` starts one; here /sys/sheaf cannot be " \
        "written" in str(refusal.value)


def test_what_does_not_start_is_said(cards):
    with pytest.raises(AssertionError) as refusal:
        serve(cards, *FLAGS, **CONTROL, MPS_STAND_IN="refuse")
    assert "slice mps:0#0: the MPS daemon ended at its start: An instance of this daemon is refused" in str(refusal.value)
