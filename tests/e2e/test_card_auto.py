"""What `auto` stands for on cards is measured there, once: --dtype, and by --num-replicas how many replicas share one. With a
small model, on simulated cards, as the processor plays them."""

import json
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import threading

import numpy
import pytest
import requests

from sheaf_server import REPOSITORY, SHEAF, environment_without_sheaf, running, unwrapped, wait_until
from simulated_machine import Machine
from test_leases import STAND_IN, daemons

KEPT = ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE", "SHEAF_SLICES_FOLDER", "LD_LIBRARY_PATH", "SHEAF_MPS_CONTROL")
MODEL = REPOSITORY / "tests/golden/texts/roberta/model"
CHOSEN = re.compile(r"model model: (\d+) replicas?(?: on \d streams)? a card by --num-replicas auto, measured \((.*?)\): (.*)")


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


@pytest.fixture
def serving(emulated_replica, tmp_path):
    """Starts servers with `auto` for all, which keep what they measure in one folder."""
    started = []

    def start(here, *flags, **more):
        server = AutoServer(here, tmp_path / "cache", emulated_replica, *flags, **more)
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


def of(here):
    return {name: here.environment[name] for name in KEPT if name in here.environment}


class AutoServer:
    def __init__(self, here, cache, program, *flags, model=MODEL, slow_in=None):
        environment = environment_without_sheaf() | of(here)
        if slow_in:
            environment["SHEAF_FAULT_SLOW_IN"] = slow_in
        command = [SHEAF, "serve", model, "--port", "0", "--grpc-port", "0", "--card-program", program, *flags]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment | {"SHEAF_CACHE": str(cache)})
        self.log, self.first = [], queue.Queue()
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        threading.Thread(target=lambda: self.first.put(self.process.stdout.readline()), daemon=True).start()

    def slices(self):
        """Of its replicas, once all are ready."""
        self.http = json.loads(self.first.get(timeout=200))["http"]

        def ready():
            replicas = requests.get(self.http + "/v1/fleet", timeout=10).json()["replicas"]
            return all(one["state"] == "ready" for one in replicas) and replicas

        return sorted(one["slice"] for one in wait_until(ready, 60, "ready"))

    def said(self, words):
        return [line for line in self.log if words in line]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def children(pid):
    return [int(one) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for one in (task / "children").read_text().split()]


def check(here, tmp_path, program, *flags, model=MODEL):
    done = subprocess.run([SHEAF, "serve", model, "--check", "--card-program", program, *flags], capture_output=True, text=True,
                          env=environment_without_sheaf() | of(here)
                          | {"SHEAF_CACHE": str(tmp_path / "cache")}, timeout=60)
    assert done.returncode == 0, done.stderr
    return unwrapped(done.stdout)


def shown(model, tmp_path):
    return json.loads(subprocess.run([SHEAF, "models", "show", model, "--json"], check=True, capture_output=True, text=True,
                                     env=environment_without_sheaf() | {"SHEAF_CACHE": str(tmp_path / "cache")}).stdout)


def keep(tmp_path, kind, change):
    """Changes what was measured, as another card would have been."""
    (file,) = (tmp_path / "cache" / kind).glob("*.json")
    kept = json.loads(file.read_text())
    kept[kind] = change(kept[kind])
    file.write_text(json.dumps(kept))


def steps(*rates):
    return [{"replicas": 1 << i, "streams": 1, "tokens_per_s": rate} for i, rate in enumerate(rates)]


def best_of(measured):
    best = measured[0]
    for one in measured[1:]:
        if one["tokens_per_s"] >= 1.05 * best["tokens_per_s"]:
            best = one
    return best["replicas"], best["streams"]


def best_precision(measured):
    best = measured[0]
    for one in measured[1:]:
        if one["accurate"] and one["tokens_per_s"] >= 1.1 * best["tokens_per_s"]:
            best = one
    return best["dtype"]


def test_measured_once_and_kept(machine, serving, emulated_replica, tmp_path):
    here = machine("h200-141")
    said = check(here, tmp_path, emulated_replica)
    assert said.count("auto, measured at the first start") == 2 and "gpu:0" in said

    first = serving(here)
    slices = first.slices()
    assert len(first.said("measuring precisions, once on this machine's NVIDIA H200")) == 1
    assert len(first.said("how many replicas a card serve most, once")) == 1
    (line,) = first.said("by --num-replicas auto")
    number, on, _ = CHOSEN.search(line).groups()
    assert len(slices) == int(number) and all(one.split("#")[0] in ("gpu:0", "time:0") for one in slices)
    (line,) = first.said("by --dtype auto computes in")
    dtype = re.search(r"computes in (\w+)", line)[1]
    assert re.fullmatch(rf"NVIDIA H200, [\d.]+ GiB; {dtype}, in turns", on)

    facts = shown(MODEL, tmp_path)
    (precisions,), (replicas,) = facts["precisions_on_cards"], facts["replicas_on_cards"]
    assert {one["dtype"] for one in precisions["precisions"]} == {"float32", "bfloat16", "int8", "fp8"}
    assert precisions["auto"] == dtype and precisions["card"] == on.split(";")[0]
    for one in precisions["precisions"]:
        refused = any(f'{one["dtype"]} (' in line for line in first.said("not accurate enough for auto"))
        assert refused == (not one["accurate"])
    best = replicas["auto"], replicas["auto_streams"]
    assert replicas["on"] == on and replicas["auto"] == int(number) and best == best_of(replicas["measured"])
    ways = [(one["replicas"], one["streams"]) for one in replicas["measured"]]
    on_streams = [way for way in ways if way[0] == 1]
    assert on_streams == [(1, 1 << i) for i in range(len(on_streams))] and 2 <= len(on_streams) <= 3
    assert ways[len(on_streams):] == [(2 << i, 1) for i in range(len(ways) - len(on_streams))]
    first.kill()

    second = serving(here)
    assert second.slices() == slices
    assert not second.said("measuring") and second.said("by --num-replicas auto") and second.said("by --dtype auto")


def test_what_is_kept_decides(machine, serving, emulated_replica, tmp_path):
    here = machine("h200-141", "h200-141")
    flags = ["--dtype", "bfloat16", "--num-gpus", "1"]
    serving(here, *flags).slices()
    keep(tmp_path, "sharing", lambda _: steps(100, 200, 400, 404))
    shares = [f"time:0#{i}" for i in range(4)]
    assert serving(here, *flags).slices() == shares, "the last step gained too little"
    said = check(here, tmp_path, emulated_replica, "--dtype", "bfloat16")
    assert all(f"time:{card}#3" in said and f"time:{card}#4" not in said for card in "01"), "cards of one kind"
    assert "time:0#3" in check(here, tmp_path, emulated_replica, "--dtype", "bfloat16", "--slices", "gpu:0")
    for own in (["--num-replicas", "2"], ["--gpu-assignment", "dedicated"], ["--pipeline-parallel-size", "2"]):
        assert "time:0" not in check(here, tmp_path, emulated_replica, "--dtype", "bfloat16", *own)
    assert "measured at the first start" in check(here, tmp_path, emulated_replica, *flags, "--gpu-memory-utilization", "0.5")
    other = check(here, tmp_path, emulated_replica, "--dtype", "float32")
    assert "replicas a card: auto, measured at the first start" in other and "time:" not in other
    here.drive("process", "0", str(os.getpid()), str(148_300_000_000))
    few = check(here, tmp_path, emulated_replica, *flags)
    assert "time:0#1" in few and "time:0#3" not in few, "memory for fewer"
    keep(tmp_path, "sharing", lambda _: [{"replicas": 3, "streams": 1, "tokens_per_s": 1}])
    assert "measured at the first start" in check(here, tmp_path, emulated_replica, *flags), "nothing that holds"


def wide_model(folder, weight_of_layers):
    """A model whose feed-forward parts fp8 can compute, each layer's adding so much to the states."""
    hidden, between = 64, 64
    shutil.copytree(MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": hidden, "intermediate_size": between, "num_hidden_layers": len(weight_of_layers),
               "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))  # short texts are soon measured
    random, tensors = numpy.random.default_rng(3), {}

    def add(name, *shape, times=1.0):
        tensors[name] = (random.normal(size=shape) * times).astype(numpy.float32)

    def linear(name, outputs, inputs, times=1.0):
        add(name + ".weight", outputs, inputs, times=times / numpy.sqrt(inputs))
        add(name + ".bias", outputs, times=0.01)

    def norm(name):
        tensors[name + ".weight"] = numpy.ones(hidden, numpy.float32)
        tensors[name + ".bias"] = numpy.zeros(hidden, numpy.float32)

    for table, rows in (("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size")):
        add(f"embeddings.{table}_embeddings.weight", config[rows], hidden)
    norm("embeddings.LayerNorm")
    for i, weight in enumerate(weight_of_layers):
        layer = f"encoder.layer.{i}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(layer + "attention." + part, hidden, hidden, times=0.3)
        norm(layer + "attention.output.LayerNorm")
        linear(layer + "intermediate.dense", between, hidden)
        linear(layer + "output.dense", hidden, between, times=weight)
        norm(layer + "output.LayerNorm")
    header, data = {}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(data), len(data) + tensor.nbytes]}
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


def test_fp8_is_of_the_layers_that_keep_the_bounds(machine, serving, emulated_replica, tmp_path):
    """One of the layers adds little, so that what fp8 loses there is little too: it is chosen, with some of the others.
    Nobody has to say which."""
    here = machine("h200-141")
    model = wide_model(tmp_path / "wide", [3, 3, 0.1, 3, 3])
    first = serving(here, "--num-replicas", "1", model=model, slow_in="float32,bfloat16,int8")
    first.slices()
    for layer in range(5):
        assert len(first.said(f"model wide: fp8:{layer}: cosine mean")) == 1, first.log
    (measured,) = shown(model, tmp_path)["precisions_on_cards"]
    some, everywhere = [one for one in measured["precisions"] if one["dtype"].startswith("fp8")]
    assert everywhere["dtype"] == "fp8" and not everywhere["accurate"]
    layers = some["fp8_layers"]
    assert some["accurate"] and some["of_layers"] == 5 and {2} < set(layers) < set(range(5))
    first.kill()

    second = serving(here, "--num-replicas", "1", "--dtype", "fp8", model=model)
    second.slices()
    dtype = some["dtype"]
    assert requests.get(second.http + "/info", timeout=10).json()["model_dtype"] == dtype
    assert second.said(f"by --dtype fp8 computes in {dtype} (emulated cuda fp8, in the feed-forward parts of {len(layers)} of 5 layers)")
    wait_until(lambda: second.said(f"is ready: emulated cuda fp8, {dtype}"), 10, "that line of the log, which may come later")
    assert not second.said("measuring")
    second.kill()

    # Beside a card that fp8 leaves out, whose kind nothing was measured on.
    (tmp_path / "older").mkdir()
    older = Machine(tmp_path / "older", "a100-40", "h200-141")
    for more in ([], ["--num-gpus", "1"], ["--slices", "gpu:1"]):
        said = check(older, tmp_path, emulated_replica, "--dtype", "fp8", *more, model=model)
        assert f"dtype: {dtype}" in said and "gpu:1" in said and "gpu:0" not in said, said
    assert f"dtype: {dtype}" not in check(older, tmp_path, emulated_replica, model=model), "auto goes by what all cards can"

    # A list of any length leaves a table within its columns.
    long = "fp8:" + ",".join(str(layer) for layer in range(0, 36, 2))
    keep(tmp_path, "precisions", lambda kept: [one | {"dtype": long, "of_layers": 36} if one["dtype"] == dtype else one for one in kept])
    text = subprocess.run([SHEAF, "models", "show", model], check=True, capture_output=True, text=True,
                          env=environment_without_sheaf() | {"SHEAF_CACHE": str(tmp_path / "cache")}).stdout
    table = text[re.search(r"^dtype +backend", text, re.M).start():]
    assert "fp8:0,2…" in table and max(map(len, table.splitlines())) <= 80, table
    assert "in the feed-forward parts of layers 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34 of 36, which" in \
        table.replace("\n", " ")


def test_no_layers_are_looked_for_where_fp8_in_all_is_too_slow(machine, serving, tmp_path):
    """On a card on which fp8 gains nothing: no choice of fewer layers could, so that a start does not wait for twelve loads."""
    here = machine("h200-141")
    model = wide_model(tmp_path / "wide", [3, 3, 0.1, 3, 3])
    server = serving(here, "--num-replicas", "1", model=model, slow_in="fp8")
    server.slices()
    (line,) = server.said("is not accurate enough for fp8 in all 5 layers, and none are measured alone: ")
    times = re.search(r"with all it is ([\d.]+) times as fast as (\w+), and auto asks for 1.1$", line.strip())
    assert float(times[1]) < 1.1 and times[2] in ("float32", "bfloat16", "int8")
    assert not server.said("model wide: fp8:")
    (measured,) = shown(model, tmp_path)["precisions_on_cards"]
    assert [one["dtype"] for one in measured["precisions"]] == ["float32", "bfloat16", "int8", "fp8"]
    assert not measured["precisions"][-1]["accurate"] and measured["auto"] == best_precision(measured["precisions"])


def test_streams_are_as_said_or_as_measured_where_there_is_room(machine, serving, emulated_replica, tmp_path):
    def said(*more):
        return check(here, tmp_path, emulated_replica, "--dtype", "bfloat16", *more)

    here = machine("h200-141")
    serving(here, "--dtype", "bfloat16").slices()
    keep(tmp_path, "sharing", lambda _: [{"replicas": replicas, "streams": streams, "tokens_per_s": rate} for replicas, streams, rate
                                         in [(1, 1, 100), (1, 2, 200), (1, 4, 300), (2, 1, 190), (4, 1, 290)]])
    assert "streams of each: 4" in said() and "time:" not in said()
    assert "streams of each: 2" in said("--streams", "2", "--num-replicas", "1")
    one = said("--streams", "1")
    assert "replicas a card: auto, measured at the first start" in one and "streams of each" not in one
    here.drive("process", "0", str(os.getpid()), str(149_600_000_000))
    assert "streams of each: 4" not in said(), "no room for four: as many as fit, and no refusal"


def test_a_card_in_use_is_not_measured(machine, serving, tmp_path):
    here = machine("h200-141")
    here.drive("process", "0", str(os.getpid()), "1000000")
    server = serving(here)
    assert server.slices() == ["gpu:0"]
    used = f"gpu:0 is used by process {os.getpid()}"
    (line,) = server.said("how many replicas a card serve most cannot be measured, so there is one: ")
    assert used in line
    (line,) = server.said("precisions cannot be measured, so it computes in bfloat16: ")
    assert used in line
    assert not list((tmp_path / "cache").glob("*/*.json"))


def test_another_card_that_is_free_is_measured(machine, serving):
    here = machine("h200-141", "h200-141")
    here.drive("process", "0", str(os.getpid()), "1000000")
    server = serving(here, "--dtype", "bfloat16")
    assert len({one.split("#")[0].split(":")[1] for one in server.slices()}) == 2
    assert server.said("measuring on gpu:1 how many replicas")


def test_a_signal_ends_what_measures(machine, serving, tmp_path):
    here = machine("h200-141")
    server = serving(here, "--dtype", "bfloat16")
    wait_until(lambda: server.said("how many replicas a card serve most, once"), 30, "measuring")
    replicas = wait_until(lambda: children(server.process.pid), 30, "a replica")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == -signal.SIGTERM
    wait_until(lambda: not any(map(running, replicas)), 10, "their end")
    assert not list((tmp_path / "cache").glob("*/*.json"))


@pytest.fixture
def with_mps(machine):
    """A machine on which a stand-in plays NVIDIA's daemon."""
    here = machine("h200-141")
    here.environment["SHEAF_MPS_CONTROL"] = str(STAND_IN)
    yield here
    for daemon in daemons(here):
        os.killpg(daemon["pid"], signal.SIGKILL)


MPS = ["--dtype", "bfloat16", "--gpu-assignment", "mps"]


def test_clients_of_mps_are_measured_as_such(with_mps, serving):
    server = serving(with_mps, *MPS)
    slices = server.slices()
    (line,) = server.said("by --num-replicas auto")
    number, on, _ = CHOSEN.search(line).groups()
    assert on.endswith("; bfloat16, by MPS") and slices == [f"mps:0#{i}" for i in range(int(number))]


def test_a_signal_ends_the_daemons_of_what_measures(with_mps, serving):
    server = serving(with_mps, *MPS)
    wait_until(lambda: children(server.process.pid) and daemons(with_mps), 30, "a replica")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == -signal.SIGTERM
    assert not daemons(with_mps)


@pytest.fixture
def program_that(emulated_replica, tmp_path):
    """The card program, after a line of shell."""
    def make(line):
        program = tmp_path / "replica"
        program.write_text(f'#!/bin/sh\n{line}\nexec {emulated_replica} "$@"\n')
        program.chmod(0o755)
        return program
    return make


def test_a_program_that_fails_to_measure_stops_no_start(machine, serving, program_that):
    program = program_that('[ "$1" != embed ] || exit 1')
    server = serving(machine("h200-141"), "--card-program", program, "--num-replicas", "1")
    assert server.slices() == ["gpu:0"]
    assert server.said("precisions cannot be measured, so it computes in bfloat16: ")


def test_replicas_that_do_not_start_are_given_up_before_the_minute_is_over(machine, serving, program_that, tmp_path):
    program = program_that(f'[ "$1" != run ] || [ -e {tmp_path}/well ] || exit 1')
    server = serving(machine("h200-141"), "--card-program", program, "--dtype", "bfloat16")
    words = "how many replicas a card serve most cannot be measured, so there is one: a replica does not start: "
    wait_until(lambda: server.said(words), 40, "its giving up")
    (tmp_path / "well").write_text("")
    assert server.slices() == ["gpu:0"]
    assert not list((tmp_path / "cache").glob("*/*.json"))
