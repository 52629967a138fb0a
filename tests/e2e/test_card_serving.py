"""`sheaf serve --device` with a program for cards: sheaf-replica-emulated, as the processor plays a card, on simulated ones."""

import json
import os
import subprocess

import numpy
import pytest
import requests

from sheaf_server import BIN, MODEL, MODEL_FOLDER, SHEAF, Load, Server, environment_without_sheaf, unwrapped, wait_until
from simulated_machine import Machine

KEPT = ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER", "LD_LIBRARY_PATH")
TEXTS = ["A card answers.", "And so does the processor, which is what it is held against.", "Short."]
NO_DRIVER = "there is no NVIDIA driver on this machine"


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


@pytest.fixture
def no_card_program(tmp_path):
    """sheaf-replica, with nothing beside it, whatever `make cuda` has built."""
    program = tmp_path / "sheaf-replica"
    program.symlink_to(BIN / "sheaf-replica")
    return program


def of(machine, **more):
    return {name: machine.environment[name] for name in KEPT} | more


def check(*flags, code=0, environment=None):
    """What `sheaf serve --check` says: all of it, or why not."""
    done = subprocess.run([SHEAF, "serve", f"{MODEL}={MODEL_FOLDER}", "--check", *flags], capture_output=True, text=True,
                          env=environment_without_sheaf() | (environment or {}), timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else unwrapped(done.stdout)


def refusal(*flags, code=1, environment=None):
    said = check(*flags, code=code, environment=environment)
    assert len(said.splitlines()) == 1, said
    return said.strip().removeprefix("sheaf serve: ")


def cosines(a, b):
    a, b = numpy.array(a), numpy.array(b)
    return (a * b).sum(axis=1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)


def served_on(server):
    return {r["model"]: r["slice"] for r in server.fleet()["replicas"]}


# --- computing on them ---


LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.995, "fp8": 0.99, "fp8:1-3": 0.995}


@pytest.mark.parametrize("card, dtype", [("h200-141", "float32"), ("h200-141", "bfloat16"), ("h200-141", "fp8"),
                                         ("h200-141", "fp8:1-3"), ("a100-40", "int8")])
def test_a_card_answers_as_the_processor_does(server, machine, emulated_replica, card, dtype):
    here = machine(card)
    flags = ["--device", "cuda", "--card-program", emulated_replica, "--dtype", dtype]
    with Server(*flags, replicas=1, environment=of(here)) as on_card:
        assert list(served_on(on_card).values()) == ["gpu:0"]
        info = requests.get(on_card.http + "/info", timeout=10).json()
        assert info["model_dtype"] == dtype
        near = min(cosines(on_card.vectors(TEXTS), server.vectors(TEXTS)))
        name = dtype.split(":")[0]
        assert near > LEAST_COSINE[dtype] and (near < 0.9999) == (name in ("fp8", "int8"))
        assert any(f"is ready: emulated cuda {name}, {dtype}" in line for line in on_card.log)


def test_cards_and_cores_serve_beside_each_other(server, machine, emulated_replica, tmp_path):
    """Two packings: each model's weights are laid out by what computes with them."""
    here = machine("h200-141")
    config = tmp_path / "sheaf.yaml"
    config.write_text(f"models:\n  - {{source: {MODEL_FOLDER}, name: card, slices: [gpu:0], dtype: bfloat16, replicas: 1}}\n"
                      f"  - {{source: {MODEL_FOLDER}, name: cores, slices: 'cores:0', dtype: float32}}\n"
                      f"card_program: {emulated_replica}\n")
    environment = of(here, SHEAF_CONFIG=str(config))
    command = [SHEAF, "serve", "--port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=environment_without_sheaf() | environment)
    try:
        http = json.loads(process.stdout.readline())["http"]
        wait_until(lambda: requests.get(http + "/health/ready", timeout=10).status_code == 200, 30, "ready")
        for model, slice_name in ("card", "gpu:0"), ("cores", "cores:0"):
            answer = requests.post(http + "/v1/embeddings", json={"input": TEXTS, "model": model}, timeout=30)
            assert answer.headers["x-sheaf-slice"] == slice_name
            vectors = [row["embedding"] for row in answer.json()["data"]]
            assert min(cosines(vectors, server.vectors(TEXTS))) > 0.999
    finally:
        process.terminate()
        process.wait(20)


def test_embed_computes_on_a_card_too(server, machine, emulated_replica, tmp_path):
    here = machine("h200-141")

    def embed(*flags, **more):
        return subprocess.run([SHEAF, "embed", "-", "--model", MODEL_FOLDER, "--output", tmp_path / "out.npy", *flags],
                              input="\n".join(TEXTS) + "\n", capture_output=True, text=True, timeout=60,
                              env=environment_without_sheaf() | of(here, **more))

    done = embed("--device", "cuda", "--card-program", emulated_replica)
    assert done.returncode == 0, done.stderr
    near = cosines(numpy.load(tmp_path / "out.npy"), server.vectors(TEXTS))
    assert 0.999 < min(near) < 1 - 1e-7, "in bfloat16"
    done = embed("--device", "cuda", "--card-program", emulated_replica, SHEAF_FAULT_NO_CARD=NO_DRIVER)
    assert done.returncode == 1 and NO_DRIVER in done.stderr
    assert embed("--card-program", emulated_replica, SHEAF_FAULT_NO_CARD=NO_DRIVER).returncode == 0


FEED_FORWARD, ATTENTION = 2 * 384 * 1536, 4 * 384 * 384


@pytest.mark.parametrize("dtype, numbers", [("fp8", 6 * FEED_FORWARD), ("fp8:0,4-5", 3 * FEED_FORWARD),
                                            ("int8", 6 * (FEED_FORWARD + ATTENTION))])
def test_a_byte_a_number_takes_less_memory(emulated_replica, dtype, numbers):
    """Half of bfloat16's for the products that are in it; scales are an output's in fp8, in int8 each 128 inputs' too."""
    def weights(dtype):
        said = subprocess.run([emulated_replica, "estimate", "--model", MODEL_FOLDER, "--dtype", dtype], check=True,
                              capture_output=True, text=True, timeout=60)
        return json.loads(said.stdout)["card"]["weights_bytes"]

    assert 0.95 * numbers < weights("bfloat16") - weights(dtype) < numbers


FP8 = ["--device", "cuda", "--dtype", "fp8", "--card-program"]


def test_fp8_is_refused_where_no_card_has_it(machine, emulated_replica):
    here = of(machine("a100-40"))
    said = refusal(*FP8, emulated_replica, environment=here)
    assert said == refusal(*FP8, emulated_replica, "--dtype", "fp8:0,2", environment=here)
    assert said == (f"model {MODEL}: --dtype fp8 needs a card of compute capability 8.9 or later, and NVIDIA A100-SXM4-40GB "
                    "has 8.0; --dtype bfloat16 computes on it")


def test_layers_that_the_model_does_not_have_are_refused(machine, emulated_replica):
    here = of(machine("h200-141"))
    flags = ["--device", "cuda", "--card-program", emulated_replica, "--dtype"]
    said = refusal(*flags, "fp8:0,6", code=2, environment=here)
    assert said == f"model {MODEL}: layer 6 cannot be in fp8: the model's 6 layers are numbered from 0"
    assert "dtype: fp8:0,2-4" in check(*flags, "fp8:0,2-4", environment=here)


def test_fp8_leaves_out_cards_without_it(machine, emulated_replica):
    here = of(machine("a100-40", "l4"))
    said = check(*FP8, emulated_replica, environment=here)
    assert "dtype: fp8" in said and "gpu:1" in said and "gpu:0" not in said
    said = refusal(*FP8, emulated_replica, "--slices", "gpu:0", environment=here)
    assert said.endswith("gpu:0 has compute capability 8.0, and fp8 needs 8.9")


def test_a_card_that_fails_is_given_up_by_its_replica(server, machine, emulated_replica):
    """The first error of a card stays: its process ends, another answers what it owed."""
    poison = requests.post(server.http + "/tokenize", json={"inputs": "poison", "add_special_tokens": False},
                           timeout=10).json()[0][0]["id"]
    here = machine("h200-141", "h200-141")
    environment = of(here, SHEAF_FAULT_FAIL_ID=str(poison))
    with Server("--device", "cuda", "--card-program", emulated_replica, replicas=2, environment=environment) as hurt:
        with Load(hurt, clients=2, texts=1, text="text") as load:
            refused = hurt.embed("poison", timeout=90)
            assert refused.status_code == 400 and refused.json()["error"]["code"] == "poisonous_input"
            load.wait_answered(5)
        assert load.failures == []
        hurt.wait_full(2, 30)
        assert sum(r["restarts"] for r in hurt.fleet()["replicas"]) >= 2
        assert any("the device failed" in line for line in hurt.log)


@pytest.mark.parametrize("dtype", ["bfloat16", "fp8", "int8"])
def test_its_memory_is_estimated_without_a_card(emulated_replica, dtype):
    """What is estimated suffices for long texts and for many short ones, and three quarters do not: the allocator keeps to
    what it is given."""
    flags = ["--model", MODEL_FOLDER, "--dtype", dtype]

    def estimate(tokens):
        said = subprocess.run([emulated_replica, "estimate", *flags, "--max-batch-tokens", str(tokens)], check=True,
                              capture_output=True, text=True, timeout=60)
        return json.loads(said.stdout)["card"]

    card = estimate(512)
    of_replica = sum(card[k] for k in ("working_set_bytes", "workspace_bytes", "context_bytes"))
    assert card["added_replica_bytes"] == of_replica and card["total_bytes"] == card["weights_bytes"] + of_replica
    assert card["assumed"] == ["context_bytes"]
    assert estimate(16384)["working_set_bytes"] > 10 * card["working_set_bytes"]

    def runs_in(count, texts="a " * 254 + "\n" + "b " * 254):
        """A batch of 512 tokens: by default two texts of 256."""
        done = subprocess.run([SHEAF, "embed", "-", "--model", MODEL_FOLDER, "--replica-program", emulated_replica, "--dtype",
                               dtype, "--batch-size", "170", "--output", "/dev/null"], input=texts,
                              capture_output=True, text=True, timeout=120,
                              env=environment_without_sheaf() | {"SHEAF_DEVICE_MEMORY_BYTES": str(count)})
        return done.returncode == 0, done.stderr

    needed = card["weights_bytes"] + card["working_set_bytes"] + card["workspace_bytes"]
    for texts in ("a " * 254 + "\n" + "b " * 254, "a\n" * 170):
        enough, said = runs_in(needed, texts)
        assert enough, said
    enough, said = runs_in(needed - card["working_set_bytes"] // 4)
    assert not enough and "this replica's share of the card" in said


# --- which device ---


def test_auto_takes_cards_where_their_program_can_use_them(machine, emulated_replica):
    here = machine("h200-141")
    said = check("--card-program", emulated_replica, environment=of(here))
    assert "gpu:0" in said and "dtype: auto, measured at the first start" in said and "--device auto" not in said
    assert "of its card" in said
    assert "cores:" in check("--card-program", emulated_replica, "--device", "cpu", environment=of(here))


def lines_of_auto(said):
    return [line for line in said.splitlines() if "--device auto" in line]


def test_auto_is_the_processor_else_and_says_why_in_a_line(machine, emulated_replica, no_card_program):
    (line,) = lines_of_auto(check("--replica-program", no_card_program))
    assert line == "--device auto is the processor: no NVIDIA card or driver is here"
    here = machine("h200-141")
    environment = of(here, SHEAF_FAULT_NO_CARD=NO_DRIVER)
    (line,) = lines_of_auto(check("--card-program", emulated_replica, environment=environment))
    assert line.startswith(f"--device auto is the processor: sheaf-replica-emulated: {NO_DRIVER}; ")
    assert lines_of_auto(check("--device", "cpu")) == []
    with Server("--card-program", emulated_replica, replicas=1, environment=environment) as on_cores:
        assert len([line for line in on_cores.log if "--device auto is the processor" in line]) == 1
        assert on_cores.embed("a text").status_code == 200


@pytest.mark.parametrize("flags", [["--device", "cuda"], ["--slices", "gpu:0"], ["--num-gpus", "1"]])
def test_cards_that_are_asked_for_are_refused_in_a_sentence_where_they_cannot_be_had(machine, emulated_replica,
                                                                                   no_card_program, flags):
    missing = refusal(*flags, "--replica-program", no_card_program)
    advice = ("--device cpu serves on the processor" if "--device" in flags
              else "without flags about cards the processor serves")
    assert missing.startswith("no card to serve on: NVML cannot be opened") and missing.endswith(advice)
    here = machine("h200-141")
    said = refusal(*flags, "--card-program", emulated_replica, environment=of(here, SHEAF_FAULT_NO_CARD=NO_DRIVER))
    assert said == (f"sheaf-replica-emulated: {NO_DRIVER}; `sheaf slices check` says what helps; " + advice)
    assert "NVML cannot be opened" in refusal(*flags, "--card-program", emulated_replica)


def test_what_cards_cannot_do_is_refused(machine, emulated_replica, tmp_path):
    here = machine("h200-141")
    older = tmp_path / "older-program"
    older.write_text("#!/bin/sh\n"
                     """[ "$1" != devices ] || exec echo '{"dtypes": ["float32", "bfloat16", "float16"], "compute_capabilities": [90]}'\n"""
                     f'exec {emulated_replica} "$@"\n')
    older.chmod(0o755)
    said = refusal("--card-program", older, "--dtype", "int8", environment=of(here))
    assert f"model {MODEL}: cards do not compute in int8, but in float32, bfloat16; --device cpu computes" in said
    assert "/no/such is not a program" in refusal("--card-program", "/no/such")
    assert "it does not say which cards it can use; `/bin/true devices` shows" in refusal("--device", "cuda", "--card-program", "/bin/true")
    small = refusal("--card-program", emulated_replica, "--gpu-memory-utilization", "0.004", environment=of(here))
    assert "does not fit" in small
    assert "are about cards" in check("--slices", "cores:0", "--num-gpus", "1", code=1)


def test_cards_that_it_has_no_code_for_are_left_out(machine, emulated_replica, tmp_path):
    here = machine("l4", "h200-141")
    program = tmp_path / "sheaf-replica-cuda"
    program.write_text("#!/bin/sh\n"
                       """[ "$1" != devices ] || exec echo '{"dtypes": ["bfloat16"], "compute_capabilities": [90]}'\n"""
                       f'exec {emulated_replica} "$@"\n')
    program.chmod(0o755)
    flags = ["--card-program", program]
    said = check(*flags, environment=of(here))
    assert "gpu:1" in said and "gpu:0" not in said
    said = refusal(*flags, "--slices", "gpu:0", environment=of(here))
    assert said.endswith("gpu:0 has compute capability 8.9, and sheaf-replica-cuda has code for 9.0 alone")


def test_the_real_program_says_why_it_cannot_compute_here():
    """Where `make cuda` has built it."""
    program = BIN / "sheaf-replica-cuda"
    if not program.exists() or os.path.exists("/dev/nvidiactl"):
        pytest.skip("not built, or there may be a card")
    assert NO_DRIVER in refusal("--device", "cuda")
    assert NO_DRIVER in check("--device", "auto")
