"""`--pipeline-parallel-size`: a replica is a group of processes that have a model's layers one after the other. How they live
and die test_ranks.py shows, of either kind; on cards test_card_ranks.py."""

import json
import pathlib
import re
import subprocess

import numpy
import pytest

from sheaf_server import DTYPES, MODEL, MODEL_FOLDER, REPOSITORY, SHEAF, Server
from simulated_machine import Machine
from test_card_serving import of
from test_ranks import CORES, TEXTS, needs_two_cores, ranks_of, refusal, staged

MAP = "stage 0: words, layers 0-2, 65.8 MiB; stage 1: layers 3-5, pooling, 20.3 MiB"


def packed_bytes(pid):
    """Of the weights that this process maps."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    return sum(int(end, 16) - int(begin, 16)
               for begin, end in re.findall(r"^(\w+)-(\w+) .*memfd:sheaf-weights", maps, re.M))


@needs_two_cores
def test_vectors_are_those_of_one_process():
    with Server(replicas=1) as whole:
        want = numpy.array(whole.vectors(TEXTS * 20))
        [pid] = whole.replica_pids()
        whole_bytes = packed_bytes(pid)
    with staged() as server:
        assert [rank for rank, _ in ranks_of(server)] == [0, 1]
        replica, = server.fleet()["replicas"]
        assert replica["ranks"] == 2 and replica["pid"] == ranks_of(server)[0][1]
        assert any(f"model {MODEL}: {MAP}" in line for line in server.log)
        got = numpy.array(server.vectors(TEXTS * 20))
        bad = server.session.post(server.http + "/v1/embeddings", json={"input": "x", "dimensions": 4000})
        assert bad.status_code == 400
        again = numpy.array(server.vectors(TEXTS * 20))
        parts = [packed_bytes(pid) for _, pid in ranks_of(server)]
    assert (got == want).all(), "not bit by bit"
    assert (again == got).all()
    print(f"\npacked: whole {whole_bytes}, last and first stage {parts}")
    assert max(parts) < 0.8 * whole_bytes
    assert sum(parts) < 1.01 * whole_bytes


@needs_two_cores
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_every_dtype(dtype):
    with Server("--dtype", dtype, replicas=1) as whole:
        want = numpy.array(whole.vectors(TEXTS))
    with staged(2, "--dtype", dtype) as server:
        got = numpy.array(server.vectors(TEXTS))
    assert (got == want).all()


@needs_two_cores
def test_slow_stages_are_not_taken_for_hung(faulty_replica):
    """Each batch takes longer than a hang is borne."""
    with staged(2, "--replica-program", faulty_replica, environment={"SHEAF_FAULT_SLOW_US": "1500000"}) as server:
        assert server.embed("slow").status_code == 200
        replica, = server.fleet()["replicas"]
        assert replica["restarts"] == 0


@needs_two_cores
def test_check_says_who_has_which_layers():
    done = subprocess.run([SHEAF, "serve", f"{MODEL}={MODEL_FOLDER}", "--check", "--dtype", "float32", "--num-replicas",
                           "1", "--pipeline-parallel-size", "2"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"  {MAP}\n" in done.stdout


def test_the_parts_are_those_of_the_whole():
    program = SHEAF.parent / "sheaf-replica"

    def ask(*words):
        done = subprocess.run([program, *words, "--model", MODEL_FOLDER], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    parts = ask("parts")
    assert len(parts["layer_bytes"]) == 6
    sizes = parts["words_bytes"] + sum(parts["layer_bytes"]) + parts["heads_bytes"]
    assert abs(sizes / ask("estimate")["weights_bytes"] - 1) < 0.01


def test_what_cannot_be_divided_is_refused(tmp_path):
    model = f"sheaf serve: model {MODEL}: --pipeline-parallel-size"
    assert refusal("--pipeline-parallel-size", "7") == f"{model} 7: 6 layers cannot be divided into 7 stages"
    one = f"cores:{CORES[0]}"
    assert refusal("--pipeline-parallel-size", "2", "--slices", one) == (
        f"{model} 2: each process of a replica takes a core, and replica 0 of 1 has 1 ({one}); "
        "fewer replicas, or fewer processes of each, would fit")
    assert refusal("--pipeline-parallel-size", "3", "--tensor-parallel-size", "2") == (
        f"{model} 3: a model is divided over ranks or into stages, not both at once")
    here = Machine(tmp_path, "h200-141", "h200-141")
    assert refusal("--pipeline-parallel-size", "2", "--device", "cuda", environment=of(here)) == (
        f"{model} 2: the processor stands in for simulated cards, over which it divides no model; "
        "--device cpu divides it over cores")


@needs_two_cores
def test_a_decoder(tmp_path):
    """Its answers in one piece and in two."""
    folder = tmp_path / "qwen3"
    folder.mkdir()
    for file in (REPOSITORY / "tests/golden/families/qwen3/model").rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(REPOSITORY / "tests/golden/families/qwen3/model")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    (folder / "tokenizer.json").write_text(json.dumps(
        {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "Whitespace"},
         "post_processor": None, "decoder": None,
         "model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a",
                   "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}))
    texts = ["a b c", "b", "c c a b " * 6]
    with Server(model=folder, replicas=1) as whole:
        want = whole.vectors(texts)
    with staged(2, model=folder) as server:
        assert server.vectors(texts) == want
