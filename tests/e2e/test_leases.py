"""Leases of slices and MPS as commands and over HTTP: on simulated cards, with a stand-in for NVIDIA's program of MPS."""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from sheaf_server import REPOSITORY, SHEAF, Server
from test_slices import Helper, machine  # noqa: F401 (a fixture)

STAND_IN = REPOSITORY / "tests/tools/nvidia-cuda-mps-control"


def wait_for(reached, seconds=20):
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reached()


def leases(here):
    return json.loads(here.sheaf("lease", "list", "--json"))


@pytest.fixture(params=["directly", "by the helper"])
def cards(machine, request):  # noqa: F811
    """An A100 cut into 3g.20gb and two 1g.5gb beside a whole L4; asked directly, and through the helper."""
    here = machine("a100-40", "l4")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "3g.20gb", "1g.5gb", "1g.5gb")
    if request.param == "directly":
        yield here
        return
    with Helper(here):
        yield here


def test_a_lease_from_acquire_to_release(cards):
    lease = json.loads(cards.sheaf("lease", "acquire", "--profile", "1g.5gb", "--task", "train", "--ttl", "100s", "--json"))
    assert lease["text"].endswith(" (1g.5gb)") and lease["environment"]["CUDA_VISIBLE_DEVICES"] == lease["slice"]
    again = json.loads(cards.sheaf("lease", "acquire", "--profile", "1g.5gb", "--task", "train", "--json"))
    assert again["id"] == lease["id"] and len(leases(cards)) == 1
    assert "already, for which it asked as a 1g.5gb" in \
        cards.sheaf("lease", "acquire", "--kind", "gpu", "--task", "train", code=2)
    second = cards.sheaf("lease", "acquire", "--profile", "1g.5gb")
    assert f"CUDA_VISIBLE_DEVICES={lease['slice']}" not in second and "SHEAF_LEASE=lease-" in second
    assert f"a 1g.5gb not free: {lease['text']} is leased to task train" in \
        cards.sheaf("lease", "acquire", "--profile", "1g.5gb", code=1)
    assert "waited 1" in cards.sheaf("lease", "acquire", "--profile", "1g.5gb", "--wait", "100ms", code=1)
    assert "has nothing like a 7g.40gb" in cards.sheaf("lease", "acquire", "--profile", "7g.40gb", "--wait", "9s", code=1)
    assert "train" in cards.sheaf("lease", "list")
    assert f"# {lease['text']}: leased to task train" in cards.sheaf("lease", "renew", lease["id"])
    cards.sheaf("lease", "release", lease["id"])
    assert "it has ended, or never was" in cards.sheaf("lease", "release", lease["id"], code=1)
    assert len(leases(cards)) == 1


def test_cards_and_slices_by_name(cards):
    whole = json.loads(cards.sheaf("lease", "acquire", "1", "--json"))
    assert whole["kind"] == "gpu" and whole["text"] == "GPU 1"
    part = json.loads(cards.sheaf("lease", "acquire", "0:0", "--json"))
    assert part["text"].endswith(" (3g.20gb)")
    assert "is leased" in cards.sheaf("lease", "acquire", part["slice"], code=1)
    assert "GPU 0 is in MIG mode" in cards.sheaf("lease", "acquire", "0", code=2)
    assert "no card and no MIG slice is 5" in cards.sheaf("lease", "acquire", "5", code=1)
    assert "1 is outside CUDA_VISIBLE_DEVICES" in cards.sheaf("lease", "acquire", "1", code=1, CUDA_VISIBLE_DEVICES="0")


def test_what_is_leased_is_not_cut_away(cards):
    lease = json.loads(cards.sheaf("lease", "acquire", "--profile", "3g.20gb", "--json"))
    before = cards.facts()
    for command in (["destroy", "all"], ["destroy", "3g.20gb@4"], ["destroy", lease["slice"]]):
        assert f"{lease['text']} is leased ({lease['id']})" in cards.sheaf("mig", *command, "--gpu", "0", code=1)
    assert cards.facts() == before
    cards.sheaf("mig", "create", "--gpu", "0", "1g.5gb")  # beside it
    cards.sheaf("lease", "release", lease["id"])
    cards.sheaf("mig", "destroy", "all", "--gpu", "0")


def test_a_command_on_its_slice(cards):
    script = "echo $CUDA_VISIBLE_DEVICES $SHEAF_SLICE $SHEAF_LEASE; exit 7"
    uuid, slice_id, lease = cards.sheaf("lease", "acquire", "--profile", "1g.5gb", "--", "sh", "-c", script, code=7).split()
    assert uuid == slice_id and uuid.startswith("MIG-") and lease.startswith("lease-")
    assert leases(cards) == []
    core = sorted(os.sched_getaffinity(0))[-1]
    out = cards.sheaf("lease", "acquire", f"cores:{core}", "--", "python3", "-c", "import os; print(os.sched_getaffinity(0))")
    assert out.strip() == str({core})
    assert "No such file" in cards.sheaf("lease", "acquire", "--cores", "1", "--", "/no/such/program", code=127)
    cards.sheaf("lease", "acquire", "--cores", "1", "--", "sh", "-c", "kill -KILL $$", code=128 + 9)
    assert leases(cards) == []


def start_command(here, *command):
    return subprocess.Popen([SHEAF, "slices", "lease", "acquire", "--kind", "gpu", "--ttl", "1s", "--", *command],
                            env=here.environment, stdout=subprocess.PIPE, text=True)


def test_a_command_holds_its_lease_while_it_runs(cards):
    holder = start_command(cards, "sh", "-c", "echo $$; exec sleep 60")
    child = int(holder.stdout.readline())
    first = leases(cards)[0]
    assert first["holder_pid"] == holder.pid
    # It is renewed: beyond its time to live it is still there.
    over = time.monotonic() + 1.5
    wait_for(lambda: time.monotonic() > over and leases(cards)[0]["id"] == first["id"])
    holder.send_signal(signal.SIGTERM)
    assert holder.wait(20) == 128 + signal.SIGTERM
    assert leases(cards) == [] and not pathlib.Path(f"/proc/{child}").exists()
    holder.stdout.close()


def test_a_killed_holder_holds_nothing_and_takes_its_command_along(cards):
    holder = start_command(cards, "sh", "-c", "echo $$; exec sleep 60")
    child = int(holder.stdout.readline())
    waiter = subprocess.Popen([SHEAF, "slices", "lease", "acquire", "--kind", "gpu", "--wait", "60s", "--json"],
                              env=cards.environment, stdout=subprocess.PIPE, text=True)
    holder.kill()
    holder.wait(20)
    holder.stdout.close()
    got = json.loads(waiter.communicate(timeout=60)[0])
    assert got["text"] == "GPU 1" and waiter.returncode == 0
    # It was killed with its parent; init may still have to reap it.
    wait_for(lambda: not pathlib.Path(f"/proc/{child}").exists() or
             pathlib.Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_a_damaged_table_is_refused(cards):
    cards.sheaf("lease", "acquire", "--cores", "1")
    table = cards.folder / "run/leases"
    table.write_text(table.read_text()[:-20])
    for verb in (["list"], ["acquire", "--cores", "1"], ["release", "x"]):
        assert "run/leases:2: the line is cut off; nothing is leased until" in cards.sheaf("lease", *verb, code=1)
    assert "run/leases:2" in cards.sheaf("mig", "destroy", "all", "--gpu", "0", code=1)


@pytest.mark.parametrize("arguments,complaint", [
    (["acquire"], "say which slice, or what it must be"),
    (["acquire", "0", "--cores", "1"], "0 is a slice by name; then no kind"),
    (["acquire", "0", "1"], "acquire takes one slice"),
    (["acquire", "--cores", "1", "--ttl", "1ms"], "a lease of 1 ms is not given"),
    (["acquire", "--cores", "1", "--holder", "5", "--", "true"], "no --holder"),
    (["acquire", "--cores", "1", "--"], "behind -- stands the command"),
    (["release"], "release takes one lease"),
    (["steal", "x"], "'lease steal' is not one of acquire, renew, release, list"),
])
def test_bad_usage(machine, arguments, complaint):  # noqa: F811
    assert complaint in machine("l4").sheaf("lease", *arguments, code=2)


@pytest.mark.parametrize("verb", [[], *([verb] for verb in "mig apply assert export check env try daemon lease mps".split())])
def test_help_fits_a_screen(machine, verb):  # noqa: F811
    text = machine("l4").sheaf(*verb, "--help")
    assert "usage: sheaf slices" in text and "example: " in text
    assert len(text.splitlines()) <= 45 and max(map(len, text.splitlines())) <= 80, max(text.splitlines(), key=len)


# --- HTTP ---


def ask(server, method, path, body=None):
    request = urllib.request.Request(server.http + path, method=method, headers={"Content-Type": "application/json"},
                                     data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_leases_over_http(machine):  # noqa: F811
    here = machine("a100-40", "l4")
    chosen = {name: here.environment[name] for name in ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER")}
    with Server(environment=chosen, replicas=1) as server:
        status, lease = ask(server, "POST", "/v1/slices/lease", {"slice": "1", "task_id": "t", "ttl_s": 30})
        assert status == 200 and lease["text"] == "GPU 1", lease
        assert [one["id"] for one in leases(here)] == [lease["id"]]
        assert ask(server, "POST", "/v1/slices/lease", {"slice": "1", "wait_s": 0.2})[0] == 504
        status, refused = ask(server, "POST", "/v1/slices/lease", {"slice": "1"})
        assert status == 503 and "GPU 1 is leased to task t" in refused["error"]["message"]
        assert ask(server, "POST", f"/v1/slices/lease/{lease['id']}/renew")[1]["ttl_s"] == 30
        assert [one["id"] for one in ask(server, "GET", "/v1/slices/lease")[1]["data"]] == [lease["id"]]
        assert ask(server, "DELETE", f"/v1/slices/lease/{lease['id']}")[0] == 200
        assert leases(here) == []


# --- MPS ---


@pytest.fixture
def mps(machine):  # noqa: F811
    here = machine("a100-40", "l4")
    here.environment["SHEAF_MPS_CONTROL"] = str(STAND_IN)
    yield here
    for daemon in json.loads(here.sheaf("mps", "list", "--json"))["daemons"]:
        os.killpg(daemon["pid"], signal.SIGKILL)


def drive_mps(here, uuid, *words):
    environment = dict(here.environment, CUDA_MPS_PIPE_DIRECTORY=str(here.folder / f"run/mps/{uuid}/pipe"))
    subprocess.run([STAND_IN], input=" ".join(words) + "\n", env=environment, text=True, check=True, timeout=20)


def daemons(here):
    return json.loads(here.sheaf("mps", "list", "--json"))["daemons"]


def test_mps_from_start_to_stop(mps):
    assert mps.sheaf("mps") == "MPS runs nowhere\n"
    assert "there are 2 cards and slices" in mps.sheaf("mps", "start", code=2)
    too_much = mps.sheaf("mps", "start", "--gpu", "1", "--memory-limit", "4096GiB", code=2)
    assert "GPU 1 has " in too_much and "a limit of 4096G a client would limit nothing" in too_much
    out = mps.sheaf("mps", "start", "--gpu", "1", "--thread-percentage", "50", "--memory-limit", "2GiB")
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=50" in out and "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=2G" in out
    assert "nobody watches it" in out and "EXCLUSIVE_PROCESS" in out
    uuid = daemons(mps)[0]["uuid"]
    drive_mps(mps, uuid, "test", "client", "4711")
    assert "clients 4711" in mps.sheaf("mps", "list")
    assert "MPS of GPU 1 has clients: processes 4711" in mps.sheaf("mps", "stop", "--gpu", "1", code=1)
    mps.sheaf("mps", "stop", "--gpu", "1", "--force")
    assert daemons(mps) == []
    assert "MPS was not started on 1" in mps.sheaf("mps", "stop", "--gpu", "1", code=1)


def test_mps_on_a_mig_slice_keeps_it_from_being_cut_away(mps):
    mps.sheaf("mig", "enable", "--gpu", "0")
    mps.sheaf("mig", "create", "--gpu", "0", "3g.20gb")
    assert "GPU 0 is in MIG mode: MPS runs on its slices" in mps.sheaf("mps", "start", "--gpu", "0", code=2)
    mps.sheaf("mps", "start", "--gpu", "0:0")
    assert daemons(mps)[0]["text"].endswith(" (3g.20gb)")
    assert "MPS runs on mig:0/" in mps.sheaf("mig", "destroy", "all", "--gpu", "0", code=1)
    mps.sheaf("mps", "stop", "--gpu", "all")
    mps.sheaf("mig", "destroy", "all", "--gpu", "0")


def test_the_helper_starts_mps_again_and_names_its_clients(mps):
    with Helper(mps) as helper:
        assert "nobody watches it" not in mps.sheaf("mps", "start", "--gpu", "1")
        first = daemons(mps)[0]
        drive_mps(mps, first["uuid"], "test", "client", "4711")
        state = mps.folder / f"run/mps/{first['uuid']}/state"
        wait_for(lambda: json.loads(state.read_text())["clients"] == [4711])
        os.kill(first["pid"], signal.SIGKILL)
        wait_for(lambda: daemons(mps)[0]["generation"] == 2)
        now = daemons(mps)[0]
        assert now["state"] == "running" and now["last_event"]["what"] == "ended"
        assert now["last_event"]["clients"] == [4711]
    assert "MPS of GPU 1 ended and was started again; its clients must start again: processes 4711" in helper.log
    # It outlives the helper, and the next one adopts it.
    assert daemons(mps)[0]["state"] == "running"
    os.kill(now["pid"], signal.SIGKILL)
    with Helper(mps):
        wait_for(lambda: daemons(mps)[0]["generation"] == 3)


def test_without_the_program_its_package_is_named(mps):
    assert "nvidia-cuda-mps (Debian)" in mps.sheaf("mps", "start", "--gpu", "1", code=1, SHEAF_MPS_CONTROL="/no/mps")


# --- clusters ---


def test_configurations_of_clusters(machine):  # noqa: F811
    here = machine("a100-40", "l4")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "1g.5gb", "1g.5gb")
    yaml = here.sheaf("env", "kubernetes", "--sharing", "time", "--replicas", "3")
    assert "# this node has nvidia.com/mig-1g.5gb: 6\n" in yaml and "migStrategy: mixed" in yaml
    assert "runs no MPS on a node with MIG slices" in here.sheaf("env", "kubernetes", "--sharing", "mps", code=1)
    gres = here.sheaf("env", "slurm")
    assert "Gres=gpu:1g.5gb:2,gpu:NVIDIA_L4:1" in gres and gres.count("MultipleFiles=") == 2
