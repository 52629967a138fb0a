"""`sheaf serve` on slices of simulated cards: the CPU stands in for the arithmetic, all else is as on real ones."""

import json
import subprocess
import time

import pytest
import requests

from sheaf_server import MODEL, MODEL_FOLDER, SHEAF, Load, Server, environment_without_sheaf, wait_until
from simulated_machine import Machine

KEPT = ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER", "LD_LIBRARY_PATH")


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def environment(machine, **more):
    return {name: machine.environment[name] for name in KEPT} | more


def serve(machine, *flags, replicas=2, **more):
    return Server(*flags, replicas=replicas, environment=environment(machine, **more))


def refused(machine, *flags, code=1, **more):
    """What `sheaf serve --check` says against it."""
    done = subprocess.run([SHEAF, "serve", f"{MODEL}={MODEL_FOLDER}", "--check", "--dtype", "float32", *flags],
                          env=environment_without_sheaf() | environment(machine, **more), capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def slices_of(server):
    return [replica["slice"] for replica in server.fleet()["replicas"]]


def states_of(server):
    return [replica["state"] for replica in server.fleet()["replicas"]]


def variables_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return dict(entry.split("=", 1) for entry in file.read().decode().split("\0") if "=" in entry)


def mig_slices(machine):
    """{name: UUID} of all MIG slices."""
    return {compute["slice"]: compute["uuid"] for gpu in machine.facts()["gpus"] if gpu["mig"]
            for instance in gpu["mig"]["instances"] for compute in instance["compute_instances"]}


def destroy(machine, name):
    """By someone who knows nothing of leases, as nvidia-smi."""
    machine.sheaf("mig", "destroy", "--gpu", name.removeprefix("mig:").split("/")[0], mig_slices(machine)[name],
                  "--folder", str(machine.folder / "other"))


def seen_slices(server, count=60):
    """Those that x-sheaf-slice names, over some requests."""
    seen = set()
    for turn in range(count):
        answer = requests.post(server.http + "/v1/embeddings", json={"input": [f"text {turn}"] * 8}, timeout=30)
        assert answer.status_code == 200, answer.text
        seen.add(answer.headers["x-sheaf-slice"])
    return seen


# --- the story ---


def test_eight_h200_from_check_to_destroy(machine):
    """check → plan → apply → serve on seven slices → slices vanish → replicas move, nothing fails → destroyed."""
    here = machine(*["h200-141"] * 8)
    findings = json.loads(subprocess.run([SHEAF, "slices", "check", "--json"], env=here.environment, capture_output=True,
                                         text=True, timeout=60).stdout)
    assert [f["health"] for f in findings if "can cut it" in f["what"]] == ["ok"] * 8

    config = here.folder / "sheaf.yaml"
    config.write_text("models:\n" + "".join(
        f"  - {{source: {MODEL_FOLDER}, name: m{i}, isolation: full, target: {{tokens_per_s: 1000}}}}\n" for i in range(10)))
    cut = here.folder / "cut.yaml"
    plan = subprocess.run([SHEAF, "plan", "-c", config, "--cut", "--output", cut], env=here.environment,
                          capture_output=True, text=True, timeout=60)
    assert plan.returncode == 0, plan.stderr
    here.sheaf("apply", str(cut))
    here.sheaf("assert", str(cut))
    there = mig_slices(here)
    assert len(there) >= 9

    with serve(here, "--gpu-assignment", "mig", replicas=7) as server:
        before = slices_of(server)
        assert len(set(before)) == 7 and set(before) <= set(there)
        for replica in server.fleet()["replicas"]:
            assert variables_of(replica["pid"])["CUDA_VISIBLE_DEVICES"] == there[replica["slice"]]
        assert any("the cards are simulated" in line for line in server.log)
        with Load(server) as load:
            destroy(here, before[3])
            wait_until(lambda: slices_of(server)[3] != before[3], 4, "the move")
            server.wait_full(7)
            load.wait_answered(50)
            # One more than there are free ones: the last waits.
            free = set(there) - {before[3]} - set(slices_of(server))
            for name in free:
                destroy(here, name)
            victim = slices_of(server)[0]
            destroy(here, victim)
            wait_until(lambda: states_of(server)[0] == "waiting", 10, "the wait")
            load.wait_answered(50)
            waits = server.fleet()["replicas"][0]["last_death"]
            assert waits.startswith(f"slice {victim} vanished, and no free slice of its kind has ")
            assert 'state="waiting"' in server.session.get(server.http + "/metrics", timeout=10).text
            assert server.session.get(server.http + "/health", timeout=10).status_code == 200
            here.sheaf("apply", str(cut))
            server.wait_full(7)
            load.wait_answered(50)
        assert load.failures == []
        after = slices_of(server)
        assert len(set(after)) == 7 and set(after) <= set(mig_slices(here))
        assert seen_slices(server) <= set(after)
        assert all(r["restarts"] <= 2 for r in server.fleet()["replicas"])
        assert not any("broken" in line or "poison" in line for line in server.log)
        server.terminate()
        assert server.wait_exit() == 0
    here.sheaf("mig", "destroy", "all", "--gpu", "all")
    assert mig_slices(here) == {}


def test_requests_wait_while_the_only_slice_is_gone(machine):
    here = machine("h200-141")
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", "1g.18gb@0")
    (name,) = mig_slices(here)
    with serve(here, "--slices", name, replicas=1) as server:
        with Load(server, clients=2) as load:
            destroy(here, name)
            wait_until(lambda: states_of(server) == ["waiting"], 10, "the wait")
            health = server.session.get(server.http + "/health/ready", timeout=10)
            assert health.status_code == 503
            here.sheaf("mig", "create", "1g.18gb@0")
            assert set(mig_slices(here)) == {name}
            server.wait_full(1)
            load.wait_answered(10)
        assert load.failures == []


def test_cards_that_are_lost_and_shares_that_move_together(machine):
    here = machine("l4", "l4", "l4")
    with serve(here, "--num-gpus", "1", "--gpu-assignment", "time", replicas=2) as server:
        assert slices_of(server) == ["time:0#0", "time:0#1"]
        with Load(server) as load:
            here.drive("set", "0", "lost", "1")
            wait_until(lambda: slices_of(server) == ["time:1#0", "time:1#1"], 10, "the move")
            server.wait_full(2)
            load.wait_answered(50)
        assert load.failures == []


def test_a_hanging_nvml_holds_up_nothing(machine):
    here = machine("l4")
    with serve(here, "--num-gpus", "1", replicas=1) as server:
        with Load(server, clients=2) as load:
            here.drive("hang", "any", "20000")
            calls = here.drive("calls")
            wait_until(lambda: here.drive("calls") != calls, 10, "the watch's next reading")
            load.wait_answered(200)
        assert load.failures == []
        assert server.replica_pids()
        server.terminate()
        assert server.wait_exit(10) == 0


# --- slices that are leased and asked back ---


def cut_h200(here, *profiles):
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", *profiles)
    return mig_slices(here)


def wait_leases(here, slices):
    """Until exactly these are used by a server."""
    def used():
        return {compute["slice"] for instance in here.facts()["gpus"][0]["mig"]["instances"]
                for compute in instance["compute_instances"] if any(one["drainable"] for one in compute["leases"])}
    wait_until(lambda: used() == set(slices), 10, f"leases of {slices}")


def test_replicas_are_drained_from_what_is_destroyed(machine):
    here = machine("h200-141")
    there = cut_h200(here, "3*1g.18gb")
    with serve(here, "--gpu-assignment", "mig", replicas=2) as server:
        first, second = slices_of(server)
        wait_leases(here, [first, second])
        assert f"used by sheaf serve, process {server.process.pid}" in here.sheaf()
        refusal = here.sheaf("mig", "destroy", there[first], code=1)
        assert f"is used by sheaf serve, process {server.process.pid}: --drain has its replicas moved away first" in refusal
        # What another runs there stays, and then nobody is asked to move.
        here.drive("process", "0", "1", str(1 << 30), first.split("/")[1], "0")
        assert "in use: 1g.18gb" in here.sheaf("mig", "destroy", there[first], "--drain", code=1)
        here.drive("end", "1")
        assert slices_of(server) == [first, second]
        with Load(server) as load:
            load.wait_answered(20)
            here.sheaf("mig", "destroy", there[first], "--drain")
            assert first not in mig_slices(here)
            server.wait_full(2)
            third = slices_of(server)[0]
            assert slices_of(server) == [third, second] and third not in (first, second)
            wait_leases(here, [third, second])
            load.wait_answered(20)
            here.sheaf("mig", "destroy", "all", "--drain")
            assert mig_slices(here) == {}
            wait_until(lambda: states_of(server) == ["waiting"] * 2, 10, "the wait")
            here.sheaf("mig", "create", "3*1g.18gb")
            server.wait_full(2)
            wait_leases(here, slices_of(server))
            load.wait_answered(20)
        assert load.failures == []
        assert any("is asked back by process" in line for line in server.log)
        assert not any("are not leased" in line for line in server.log)
        server.terminate()
        assert server.wait_exit() == 0
    assert json.loads(here.sheaf("lease", "list", "--json")) == []


def test_a_process_that_lingers_on_the_card_is_waited_for(machine):
    here = machine("h200-141")
    there = cut_h200(here, "2*1g.18gb")
    with serve(here, "--gpu-assignment", "mig", replicas=1) as server:
        (name,) = slices_of(server)
        wait_leases(here, [name])
        (pid,) = server.replica_pids()
        here.drive("process", "0", str(pid), str(1 << 30), name.split("/")[1], "0")
        drain = subprocess.Popen([SHEAF, "slices", "mig", "destroy", there[name], "--drain"], env=here.environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: slices_of(server) != [name], 10, "the move")
        here.drive("end", str(pid))
        said = drain.communicate(timeout=30)[0]
        assert drain.returncode == 0, said
        assert name not in mig_slices(here)


def test_a_job_takes_a_slice_from_a_server_and_gives_it_back(machine):
    here = machine("l4", "l4")
    with serve(here, "--num-gpus", "2", replicas=2) as server:
        wait_until(lambda: len(json.loads(here.sheaf("lease", "list", "--json"))) == 2, 10, "two leases")
        assert "not free: GPU 1 is used by sheaf serve" in here.sheaf("lease", "acquire", "gpu:1", code=1)
        with Load(server) as load:
            out = here.sheaf("lease", "acquire", "gpu:1", "--drain", "--wait", "20s", "--", "sh", "-c",
                             f"{SHEAF} slices lease list; {SHEAF} slices")
            assert out.count("GPU 1") >= 2 and "GPU 1: leased" not in out
            load.wait_answered(20)
            wait_until(lambda: sorted(slices_of(server)) == ["gpu:0", "gpu:1"] and
                       states_of(server) == ["ready"] * 2, 20, "the return")
        assert load.failures == []


def test_what_another_has_leased_is_not_served_on(machine):
    here = machine("l4", "l4")
    lease = json.loads(here.sheaf("lease", "acquire", "gpu:0", "--task", "train", "--json"))
    assert "gpu:0 is leased to task train" in refused(here, "--slices", "gpu:0")
    assert "gpu:0" not in refused(here, "--device", "cuda", code=0)
    here.sheaf("lease", "acquire", "gpu:1")
    assert "no slice to serve on is free: gpu:0 is leased to task train" in refused(here, "--device", "cuda")
    # Started under the lease it is its own.
    assert "gpu:0" in refused(here, "--slices", "gpu:0", code=0, SHEAF_LEASE=lease["id"])


def test_a_server_under_its_own_lease_stays(machine):
    here = machine("l4", "l4")
    lease = json.loads(here.sheaf("lease", "acquire", "gpu:1", "--json"))
    with serve(here, "--slices", "gpu:1", replicas=1, SHEAF_LEASE=lease["id"]) as server:
        with Load(server) as load:
            over = time.monotonic() + 2
            wait_until(lambda: time.monotonic() > over, 10, "two seconds of it")
        assert load.failures == []
        assert server.fleet()["replicas"][0]["restarts"] == 0
        assert [one["id"] for one in json.loads(here.sheaf("lease", "list", "--json"))] == [lease["id"]]


def test_two_servers_share_a_card(machine):
    here = machine("l4")
    with serve(here, "--num-gpus", "1", replicas=1), serve(here, "--num-gpus", "1", replicas=1) as second:
        wait_until(lambda: len(json.loads(here.sheaf("lease", "list", "--json"))) == 2, 10, "two leases")
        assert second.embed("a text").status_code == 200


# --- placement ---


def test_check_prints_who_runs_where(machine):
    here = machine("h200-141", "l4")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "3g.71gb", "1g.18gb")
    said = refused(here, "--device", "cuda", code=0)
    assert "replicas 3" in said
    rows = {line.split()[0]: line.split()[2] for line in said.splitlines() if line[:1].isdigit() or line[:7].strip().isdigit()}
    assert sorted(rows.values()) == sorted([*mig_slices(here), "gpu:1"])
    assert "the cards are simulated" in said
    here_too = refused(here, "--num-gpus", "1", "--num-replicas", "1", code=0)
    assert "replicas 1" in here_too and "gpu:1" not in here_too
    assert "cores:" in refused(here, code=0), "cards come into play when they are spoken of"


@pytest.mark.parametrize("flags, said", [
    (["--gpu-assignment", "dedicated", "--num-replicas", "3"], "--gpu-assignment shared lets several share one"),
    (["--num-gpus", "3"], "--num-gpus 3: there are 2 cards here"),
    (["--slices", "mig:0/1"], "no card and no MIG slice is mig:0/1; there are gpu:0, gpu:1; `sheaf slices` shows them"),
    (["--slices", "gpu:0@node7"], "is on machine node7, and only slices of this one"),
    (["--slices", "gpu:0,cores:0"], "its slices are cores and cards"),
    (["--slices", "gpu:0", "--device", "cpu"], "--device cpu does not go with gpu:0"),
    (["--slices", "cores:0,99999"], "'0,99999' is no list of cores"),
    (["--gpu-assignment", "mig"], "no card here is cut"),
    (["--slices", "gpu:0", "--num-replicas", "200"], "fewer replicas"),
    (["--slices", "gpu:0", "--gpu-memory-utilization", "0.01"], "and 0.22 GiB may be used (1 %)"),
])
def test_what_cannot_be_placed_is_refused_in_a_sentence(machine, flags, said):
    here = machine("l4", "l4")
    error = refused(here, *flags)
    assert said in error and len(error.splitlines()) == 1, error


def test_an_auto_dtype_counts_on_cards_as_it_is_planned(machine):
    """In half precision: 0.69 GiB of what may be used fit, the 0.80 of float32 do not."""
    here = machine("a100-40")
    tight = ["--slices", "gpu:0", "--gpu-memory-utilization", "0.0185"]
    assert "float32 does not fit" in refused(here, *tight)
    assert "replicas 1" in refused(here, *tight, "--dtype", "auto", code=0)


def test_a_card_that_others_fill_is_refused(machine):
    here = machine("l4")
    here.drive("process", "0", "1", str(22 << 30))
    assert "is taken by others" in refused(here, "--num-gpus", "1")


def test_the_file_says_slices(machine):
    here = machine("l4", "l4")
    config = here.folder / "sheaf.yaml"
    config.write_text(f"models:\n  - {{source: {MODEL_FOLDER}, name: a, slices: [1], dtype: float32}}\n"
                      f"  - {{source: {MODEL_FOLDER}, name: b, slices: 'cores:0', dtype: float32}}\n"
                      "slices: {gpus: 2, memory_utilization: 0.5, assignment: shared}\n")
    done = subprocess.run([SHEAF, "serve", "--config", config, "--check"],
                          env=environment_without_sheaf() | environment(here), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "gpu:1" in done.stdout and "cores:0" in done.stdout
    config.write_text(f"models:\n  - {{source: {MODEL_FOLDER}, slices: {{a: b}}}}\n")
    assert "'slices' is not a list" in refused_config(here, config)


def refused_config(machine, config):
    done = subprocess.run([SHEAF, "serve", "--config", config, "--check"],
                          env=environment_without_sheaf() | environment(machine), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


def test_try_runs_a_model_on_each_slice(machine):
    here = machine("h200-141", "l4")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "1g.18gb")
    tried = json.loads(subprocess.run([SHEAF, "slices", "try", MODEL_FOLDER, "--json"], env=here.environment, check=True,
                                      capture_output=True, text=True, timeout=120).stdout)
    assert [t["slice"] for t in tried] == [*mig_slices(here), "gpu:1"]
    assert all(t["ok"] and t["load_us"] > 0 and t["run_us"] > 0 for t in tried)
    assert "is not a model" in here.sheaf("try", str(here.folder), code=1)


def test_core_sets_can_be_named():
    with Server("--slices", "cores:0", replicas=2) as server:
        assert slices_of(server) == ["cores:0", "cores:0"]
        assert server.embed("a text").status_code == 200


def test_xids_restart_replicas_and_drain_cards(machine):
    """94 spoils what ran in one instance; 79 takes a card away. No request fails."""
    here = machine("h200-141", "h200-141")
    with serve(here, "--num-gpus", "2", replicas=2) as server:
        assert sorted(slices_of(server)) == ["gpu:0", "gpu:1"]
        server.wait_full(2)
        pids = server.replica_pids()
        with Load(server) as load:
            load.wait_answered(50)
            here.drive("xid", "0", "94")
            wait_until(lambda: len(set(pids) & set(server.replica_pids())) == 1 and len(server.replica_pids()) == 2, 10,
                       "the restart")
            server.wait_full(2)
            assert sorted(slices_of(server)) == ["gpu:0", "gpu:1"]
            here.drive("xid", "1", "79")
            wait_until(lambda: "waiting" in states_of(server), 10, "a replica without a card")
            load.wait_answered(50)
            waiting = next(r for r in server.fleet()["replicas"] if r["state"] == "waiting")
            assert waiting["last_death"].startswith("slice gpu:1 was lost to Xid 79, and no free slice of its kind")
        assert load.failures == []
        metrics = server.session.get(server.http + "/metrics", timeout=10).text
        assert 'reaction="quarantine_card"' in metrics
        states = {line.split('slice="')[1].split('"')[0]: line.split()[-1] for line in metrics.splitlines()
                  if line.startswith("sheaf_gpu_out_of_use{")}
        assert states == {"gpu:0": "0", "gpu:1": "1"}
        top = subprocess.run([SHEAF, "top", "--once", "--server", server.http.removeprefix("http://")], capture_output=True,
                             text=True, timeout=60, env=environment_without_sheaf() | environment(here)).stdout
        assert "! gpu:1 is in quarantine after Xid 79: no replica is put there" in top


def fails_to_read(server, gpu):
    """Whether `sheaf serve` itself has found the card lost."""
    return any(one["slice"] == f"gpu:{gpu}" and "lost" in (one.get("error") or "") for one in server.fleet()["slices"])


@pytest.mark.parametrize("card", ["h200-141", "l4"])
def test_a_drained_card_is_used_again_after_its_reset(machine, card):
    """An H200 tells that it asks for a reset and no longer does; an L4 tells nothing, but vanishes and comes back."""
    here = machine(card, card)
    tells = card == "h200-141"
    with serve(here, "--num-gpus", "2", replicas=2) as server:
        server.wait_full(2)
        with Load(server) as load:
            if tells:
                here.drive("set", "1", "recovery_action", "1")
            here.drive("xid", "1", "48")
            wait_until(lambda: "waiting" in states_of(server), 10, "a replica without a card")
            load.wait_answered(50)
            if not tells:
                here.drive("set", "1", "lost", "1")
                wait_until(lambda: fails_to_read(server, 1), 10, "the card's loss")
                here.drive("set", "1", "lost", "0")
            else:
                here.drive("set", "1", "recovery_action", "0")
            server.wait_full(2)
            assert sorted(slices_of(server)) == ["gpu:0", "gpu:1"]
            load.wait_answered(20)
            # The next one is answered as the first.
            here.drive("xid", "1", "48")
            wait_until(lambda: "waiting" in states_of(server), 10, "a replica without a card")
        assert load.failures == []
        assert any("GPU 1 was reset, and is used again" in line for line in server.log)
