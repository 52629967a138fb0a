"""--dtype: each that this processor has instructions for is as accurate as auto asks for on a real model, the others are
refused; auto measures once and keeps what it found."""

import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess

import numpy as np
import pytest
import requests

from sheaf_server import BIN, DTYPES, MODEL_FOLDER, REPOSITORY, SHEAF, Server, environment_without_sheaf, running, wait_until
from test_commands import sheaf

RERANKER = REPOSITORY / "tests/golden/rerankers/bert"
TEXTS = ["A boat lies in the harbour.", "rain", "The invoice is due on the first of next month.", "def f(x): return x + 1",
         "Der Zug hat heute Verspätung.", "图书馆周一闭馆", "word " * 200, ""]


def vectors(server):
    answer = requests.post(server.http + "/embed", json={"inputs": TEXTS}, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float64)


def test_float32_is_always_there():
    assert DTYPES["float32"].startswith("cpu ")


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_dtype_is_accurate_or_refused(dtype, server):
    if dtype not in DTYPES:
        refused = sheaf("serve", MODEL_FOLDER, "--dtype", dtype, "--port", "0", "--grpc-port", "0")
        assert refused.returncode == 1 and f"no instructions for {dtype}" in refused.stderr
        assert f"no instructions for {dtype}" in sheaf("embed", "--model", MODEL_FOLDER, "--dtype", dtype, stdin="a\n").stderr
        return
    exact = vectors(server)
    with Server("--dtype", dtype, "--log-level", "warn") as other:
        assert requests.get(other.http + "/info", timeout=10).json()["model_dtype"] == dtype
        cosines = (vectors(other) * exact).sum(1)
    assert cosines.mean() >= 0.999 and cosines.min() >= 0.995, cosines
    here = sheaf("embed", "--model", MODEL_FOLDER, "--dtype", dtype, stdin=TEXTS[0] + "\n")
    assert json.loads(here.stdout)["embedding"] @ exact[0] >= 0.995


def test_processors_do_not_compute_in_fp8():
    why = "this processor has no instructions for fp8; it can compute in float32"
    refused = sheaf("serve", MODEL_FOLDER, "--device", "cpu", "--dtype", "fp8", "--check")
    assert refused.returncode == 1 and why in refused.stderr and len(refused.stderr.splitlines()) == 1, refused.stderr
    refused = sheaf("embed", "--model", MODEL_FOLDER, "--device", "cpu", "--dtype", "fp8", stdin="a\n")
    assert refused.returncode == 1 and why in refused.stderr.splitlines()[0], refused.stderr


def test_what_no_instructions_are_for_is_refused_by_name(tmp_path):
    (tmp_path / "dimensions").write_text("384")
    refused = sheaf("serve", MODEL_FOLDER, "--dtype", "int8", "--replica-program", BIN / "sheaf-replica-fake", "--check")
    assert refused.returncode == 1 and "no instructions for int8" in refused.stderr


def measured(cache):
    [file] = (cache / "precisions").glob("*.json")
    return json.loads(file.read_text())["precisions"]


def test_auto_measures_once_and_keeps_it(tmp_path):
    cache = {"SHEAF_CACHE": str(tmp_path)}
    check = sheaf("serve", MODEL_FOLDER, "--check", environment=cache)
    assert "dtype: auto, measured at the first start" in check.stdout
    with Server("--dtype", "auto", environment=cache, replicas=1) as server:
        chosen = requests.get(server.http + "/info", timeout=10).json()["model_dtype"]
        assert any("measuring precisions" in line for line in server.log)
        assert any(f"by --dtype auto computes in {chosen}" in line for line in server.log)
    precisions = {one["dtype"]: one for one in measured(tmp_path)}
    assert {name: one["backend"] for name, one in precisions.items()} == DTYPES
    rates = {name: one["tokens_per_s"] for name, one in precisions.items()}
    best = "float32"
    for name in ("bfloat16", "int8"):  # less exact ones for a gain of a tenth
        one = precisions.get(name)
        if one and one["mean_cosine"] >= 0.999 and one["min_cosine"] >= 0.995 and rates[name] >= 1.1 * rates[best]:
            best = name
    assert chosen == best
    with Server("--dtype", "auto", environment=cache, replicas=1) as server:
        assert not any("measuring precisions" in line for line in server.log)
        assert requests.get(server.http + "/info", timeout=10).json()["model_dtype"] == chosen
    assert f"dtype: {chosen}" in sheaf("serve", MODEL_FOLDER, "--check", environment=cache).stdout
    shown = json.loads(sheaf("models", "show", MODEL_FOLDER, "--json", environment=cache).stdout)
    assert shown["dtype"] == chosen and {one["dtype"] for one in shown["precisions"]} == set(DTYPES)


def test_one_process_measures_and_others_wait(tmp_path):
    cache = {"SHEAF_CACHE": str(tmp_path)}
    assert sheaf("models", "measure", RERANKER, environment=cache).returncode == 0
    [kept] = (tmp_path / "precisions").glob("*.json")
    found = kept.read_text()
    kept.unlink()
    with open(f"{kept}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = subprocess.Popen([SHEAF, "serve", RERANKER, "--port", "0", "--grpc-port", "0"], stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True, env=environment_without_sheaf() | cache)
        until = []
        while not until or "another process is measuring precisions" not in until[-1]:
            until.append(started.stderr.readline())
            assert until[-1], until
        kept.write_text(found)
    started.terminate()  # drains once it serves
    rest = started.communicate(timeout=30)[1]
    assert "computes in" in rest or started.returncode < 0, rest
    assert "once on this machine" not in "".join(until) + rest


def test_a_port_in_use_is_said_before_anything_is_measured(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for flags in (("--port", port, "--grpc-port", "0"), ("--port", "0", "--grpc-port", port)):
            refused = sheaf("serve", RERANKER, *flags, environment={"SHEAF_CACHE": str(tmp_path)})
            flag = flags[0 if flags[1] == port else 2]
            assert refused.returncode == 1 and f"{flag} chooses another" in refused.stderr, refused.stderr
            assert "measuring" not in refused.stderr and not (tmp_path / "precisions").exists()


def test_what_is_kept_badly_is_measured_again(tmp_path):
    cache = {"SHEAF_CACHE": str(tmp_path)}
    first = json.loads(sheaf("models", "measure", RERANKER, "--json", environment=cache).stdout)
    assert [one["dtype"] for one in first["precisions"]] == list(DTYPES)
    [file] = (tmp_path / "precisions").glob("*.json")
    for damage in ("", "{", "[]", '{"measured_of": 1}', file.read_text().replace("float32", "float9")):
        file.write_text(damage)
        shown = json.loads(sheaf("models", "show", RERANKER, "--json", environment=cache).stdout)
        assert shown["dtype"] == "float32" and shown["precisions"].startswith("not measured: sheaf models measure")
    table = sheaf("models", "measure", RERANKER, environment=cache)
    assert table.returncode == 0 and max(map(len, table.stdout.splitlines())) <= 80
    assert sheaf("models", "show", RERANKER, "--json", environment=cache).stdout.count('"backend"') == len(DTYPES)


def replica_that(tmp_path, case):
    program = tmp_path / "replica"
    program.write_text(f'#!/bin/sh\ncase "$*" in {case}; esac\nexec "{BIN / "sheaf-replica"}" "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_a_dtype_that_fails_is_not_taken_and_stops_no_start(dtype, tmp_path):
    program = replica_that(tmp_path, f"embed*{dtype}*) kill -9 $$")
    with Server("--dtype", "auto", "--replica-program", program, environment={"SHEAF_CACHE": str(tmp_path / "cache")},
                replicas=1) as server:
        chosen = requests.get(server.http + "/info", timeout=10).json()["model_dtype"]
        assert chosen == "float32" if dtype == "float32" else chosen != dtype
        said = "precisions cannot be measured" if dtype == "float32" else f"{dtype} fails"
        assert any(said in line for line in server.log)


def test_measuring_ends_with_the_server(tmp_path):
    """A replica that hangs while it is measured does not outlive the server that measures it."""
    program = replica_that(tmp_path, f'embed*float32*) exec "{BIN / "sheaf-replica"}" "$@" --threads 1')
    started = subprocess.Popen([SHEAF, "serve", MODEL_FOLDER, "--port", "0", "--grpc-port", "0", "--replica-program", program],
                               env=environment_without_sheaf(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = pathlib.Path(f"/proc/{started.pid}/task/{started.pid}/children")
    def packs(pid):
        links = pathlib.Path(f"/proc/{pid}/fd").iterdir()
        return any(os.readlink(link).startswith("/memfd:sheaf-weights") for link in links)
    def measuring():
        try:
            return [pid for pid in map(int, children.read_text().split())
                    if b"embed" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") and packs(pid)]
        except FileNotFoundError:  # one that ended meanwhile
            return []
    [pid] = wait_until(measuring, 20, "measuring")
    os.kill(pid, signal.SIGSTOP)
    started.terminate()
    started.wait(10)
    wait_until(lambda: not running(pid), 10, "its end")


@pytest.mark.parametrize("said", ["{}", "[]", '{"float32": 5}', '{"int8": "x"}', "nothing"])
def test_a_replica_that_says_no_dtypes_stops_no_start(said, tmp_path):
    program = replica_that(tmp_path, f"dtypes*) echo '{said}'; exit 0")
    with Server("--dtype", "auto", "--replica-program", program, replicas=1) as server:
        assert requests.get(server.http + "/info", timeout=10).json()["model_dtype"] == "float32"


def test_names_of_files_need_not_be_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/b\xffd"
    shutil.copytree(os.fsencode(RERANKER), folder)
    with open(folder + b"/\xfe.txt", "w") as file:
        file.write("x")
    cache = {"SHEAF_CACHE": str(tmp_path / "cache")}
    for _ in range(2):
        measured = sheaf("models", "measure", os.fsdecode(folder), environment=cache)
        assert measured.returncode == 0, measured.stderr
    assert len(list((tmp_path / "cache/precisions").glob("*.json"))) == 1
    shown = json.loads(sheaf("models", "show", os.fsdecode(folder), "--json", environment=cache).stdout)
    assert [one["dtype"] for one in shown["precisions"]] == list(DTYPES)
    with Server("--dtype", "auto", model=os.fsdecode(folder), environment=cache, replicas=1) as server:
        assert requests.get(server.http + "/health", timeout=10).status_code == 200


def test_a_classifier_is_not_measured(tmp_path):
    folder = tmp_path / "classifier"
    shutil.copytree(REPOSITORY / "tests/golden/classifiers/deberta_moods/model", folder)
    shutil.copy(REPOSITORY / "tests/golden/sparse/served/model/tokenizer.json", folder)
    measured = sheaf("models", "measure", folder, environment={"SHEAF_CACHE": str(tmp_path)})
    assert measured.stdout == "precisions of a classifier are not measured: --dtype auto is float32\n"


def test_a_cache_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    told = sheaf("models", "measure", RERANKER, environment={"SHEAF_CACHE": str(tmp_path / "file")})
    assert told.returncode == 0 and "float32" in told.stdout and "cannot be kept (SHEAF_CACHE)" in told.stderr
    with Server("--dtype", "auto", environment={"SHEAF_CACHE": str(tmp_path / "file")}, replicas=1) as server:
        assert any("cannot be kept" in line for line in server.log)
