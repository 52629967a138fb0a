"""Replicas on a card that compute several batches side by side: on simulated cards, as the processor plays them."""

import json
import os
import signal
import subprocess
import threading

import pytest
import requests

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, SHEAF, Load, Server, environment_without_sheaf, unwrapped, wait_until
from simulated_machine import Machine

KEPT = ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER", "LD_LIBRARY_PATH")
SMALL = REPOSITORY / "tests/golden/texts/roberta/model"  # whose every operation is short, as the processor plays them
TEXTS = ["A card answers.", "Two batches run side by side, each on a stream of its own.", "Short."]


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def of(machine, **more):
    return {name: machine.environment[name] for name in KEPT} | more


def serve(machine, program, *flags, replicas=1, model=None, **more):
    return Server("--device", "cuda", "--card-program", program, *flags, replicas=replicas, model=model,
                  environment=of(machine, **more))


def said_by_check(machine, program, *flags, code=0):
    done = subprocess.run([SHEAF, "serve", f"{MODEL}={MODEL_FOLDER}", "--check", "--card-program", program, *flags],
                          capture_output=True, text=True, env=environment_without_sheaf() | of(machine), timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return unwrapped(done.stderr if code else done.stdout)


def copies_mapped(pid):
    """Inodes of the copies of weights on a card that a process maps, each as often as it does."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return [line.split()[4] for line in maps if "memfd:sheaf-card-weights" in line]


def test_two_streams_answer_as_one_does_from_one_copy_of_the_weights(machine, emulated_replica):
    here = machine("h200-141")
    with serve(here, emulated_replica, "--streams", "1", model=SMALL) as one:
        want = one.vectors(TEXTS)
        assert one.fleet()["replicas"][0]["streams"] == 1
    with serve(here, emulated_replica, "--streams", "2", model=SMALL) as server:
        (replica,) = server.fleet()["replicas"]
        assert replica["streams"] == 2
        assert any("is ready: emulated cuda" in line and line.strip().endswith(", 2 streams") for line in server.log)
        mapped = copies_mapped(replica["pid"])
        assert len(mapped) == 2 and len(set(mapped)) == 1
        answers, most = [], 0

        def ask():
            answers.extend(server.vectors(TEXTS) for _ in range(25))

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            most = max(most, server.fleet()["replicas"][0]["batches_in_flight"])
        for client in clients:
            client.join()
        assert len(answers) == 100 and all(answer == want for answer in answers)
        assert most >= 2


def test_memory_of_a_stream_more(emulated_replica):
    """Its working set and a workspace, and no context."""
    def card(*flags):
        said = subprocess.run([emulated_replica, "estimate", "--model", MODEL_FOLDER, *flags], check=True, capture_output=True,
                              text=True, timeout=60)
        return json.loads(said.stdout)["card"]

    one, three = card(), card("--streams", "3")
    more = one["working_set_bytes"] + one["workspace_bytes"]
    assert (one["streams"], three["streams"]) == (1, 3)
    assert three["added_replica_bytes"] == one["added_replica_bytes"] + 2 * more
    assert three["added_replica_bytes"] == one["context_bytes"] + 3 * more
    assert three["weights_bytes"] == one["weights_bytes"]


def test_what_cannot_have_several_is_refused(machine, emulated_replica):
    here = machine("h200-141", "h200-141")

    def refusal(*flags):
        return said_by_check(here, emulated_replica, *flags, code=1).strip().removeprefix(f"sheaf serve: model {MODEL}: ")

    assert refusal("--device", "cpu", "--streams", "2") == (
        "--streams 2: on processor cores a replica has one; --num-replicas gives more")
    assert refusal("--device", "cuda", "--streams", "2", "--tensor-parallel-size", "2") == (
        "--streams 2: a replica that is divided over several processes has one")
    whole = said_by_check(here, emulated_replica, "--device", "cuda", "--streams", "9", code=2)
    assert whole.strip() == "sheaf serve: --streams: '9' is not a whole number from 1 to 8, nor auto"


def test_a_file_says_it_by_model(machine, emulated_replica, tmp_path):
    config = tmp_path / "sheaf.yaml"
    config.write_text(f"models:\n  - {{source: {MODEL_FOLDER}, name: two, streams: 2, replicas: 1}}\n"
                      f"  - {{source: {MODEL_FOLDER}, name: one, replicas: 1}}\n"
                      f"device: cuda\nstreams: 1\ncard_program: {emulated_replica}\n")
    environment = environment_without_sheaf() | of(machine("h200-141", "h200-141"), SHEAF_CONFIG=str(config))
    process = subprocess.Popen([SHEAF, "serve", "--port", "0", "--grpc-port", "0"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        http = json.loads(process.stdout.readline())["http"]
        replicas = requests.get(http + "/v1/fleet", timeout=10).json()["replicas"]
        assert {one["model"]: one["streams"] for one in replicas} == {"two": 2, "one": 1}
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_nothing_is_lost_with_its_process(machine, emulated_replica, how):
    here = machine("h200-141")
    with serve(here, emulated_replica, "--streams", "2", replicas=2, model=SMALL) as server, Load(server) as load:
        for _ in range(2):
            pids = server.wait_full(2, 30)
            load.wait_answered(10)
            os.kill(pids[0], how)
            wait_until(lambda: pids[0] not in (now := server.replica_pids()) and len(now) == 2, 30, "another")
            load.wait_answered(10)
        load.stop()
        assert load.failures == []


@pytest.mark.parametrize("fault", ["SHEAF_FAULT_HANG_ID", "SHEAF_FAULT_FAIL_ID", "SHEAF_FAULT_CRASH_ID"])
def test_what_one_batch_does_costs_nobody_beside_it(machine, emulated_replica, fault):
    """Also where the batches of the other stream go on as if nothing was."""
    here = machine("h200-141")
    with serve(here, emulated_replica, "--streams", "2", model=SMALL) as sound:
        words = requests.post(sound.http + "/tokenize", json={"inputs": "\u2126", "add_special_tokens": False}, timeout=10)
        never = words.json()[0][-1]["id"]
    environment = {fault: str(never)}
    with serve(here, emulated_replica, "--streams", "2", replicas=2, model=SMALL, **environment) as server, Load(server) as load:
        load.wait_answered(5)
        answer = server.embed("\u2126")
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "poisonous_input"
        server.wait_full(2, 60)
        load.wait_answered(10)
        load.stop()
        assert load.failures == []
        assert sum(one["restarts"] for one in server.fleet()["replicas"]) >= 2
