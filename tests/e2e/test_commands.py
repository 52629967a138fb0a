"""The commands as a person meets them: what they print, how wide, and their exit codes."""

import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import numpy as np
import pytest

from sheaf_server import MODEL, MODEL_FOLDER, SHEAF, environment_without_sheaf, wait_until


def sheaf(*arguments, stdin="", environment=None, timeout=120, folder=None):
    return subprocess.run([str(SHEAF), *map(str, arguments)], input=stdin, text=True, timeout=timeout,
                          capture_output=True, env=environment_without_sheaf() | (environment or {}), cwd=folder)


def says_at_most_what_is_cut(text):
    return re.fullmatch(r"(sheaf [a-z]+: cut to the tokens that the model takes: \d+ lines?\n)?", text)


def fits_a_screen(text, lines_max=50):
    lines = text.splitlines()
    assert len(lines) <= lines_max
    assert max(map(len, lines)) <= 80, max(lines, key=len)


@pytest.mark.parametrize("command", ["", "serve", "embed", "rerank", "bench", "bench slices", "models", "plan"])
def test_help(command):
    result = sheaf(*command.split(), "--help")
    assert result.returncode == 0 and result.stderr == ""
    fits_a_screen(result.stdout)
    assert "usage: sheaf" in result.stdout and "example:" in result.stdout
    assert command == "" or "[" in result.stdout, "defaults in brackets"


@pytest.mark.parametrize("command", ["serve", "embed", "rerank", "bench", "models", "plan"])
def test_help_of_a_command(command):
    assert sheaf("help", command).stdout == sheaf(command, "--help").stdout
    assert sheaf("help", "serv").returncode == 2


def test_version():
    result = sheaf("--version")
    assert sheaf("version").stdout == result.stdout
    assert result.returncode == 0 and result.stdout.startswith("sheaf 0.")


@pytest.mark.parametrize("arguments, said", [
    (["serv"], "did you mean serve?"),
    (["serve", "x", "--prot", "1"], "did you mean --port?"),
    (["serve"], "no model given"),
    (["serve", "x", "--port", "http"], "--port: 'http' is not a whole number from 0 to 65535"),
    (["serve", "x", "--dtype", "int4"], "--dtype: 'int4' is not one of auto, float32, bfloat16, int8, fp8"),
    (["embed", "--server", ":1", "--dtype", "int8"], "leave it out with --server"),
    (["serve", "x", "--device", "gpu"], "is not one of auto, cpu, cuda"),
    (["bench", "--batch-size", "1"], "did you mean --batch-sizes?"),
    (["bench", "--server", "host:port"], "host:port"),
    (["embed", "--format", "csv"], "not one of"),
    (["embed", "--format", "npy"], "needs --output"),
    (["embed", "--output", "x.csv"], "neither .jsonl, .ndjson nor .npy"),
    (["embed", "--output", "x"], "say --format jsonl or npy"),
    (["embed", "--server", ":1", "--revision", "abc"], "leave it out with --server"),
    (["embed", "--server", ":1", "--max-length", "9"], "leave it out with --server"),
    (["embed", "--server", ":1", "--pooling", "cls"], "leave it out with --server"),
    (["embed", "--output-kind", "dense"], "not one of"),
    (["embed", "--output-kind", "tokens", "--output", "x.npy"], "say --format jsonl"),
    (["embed", "--pooling", "median"], "--pooling: 'median' is not one of cls, max, mean,"),
    (["serve", "x", "--pooling", "median"], "'median' is not one of"),
    (["models", "show", "x", "--pooling", "median"], "'median' is not one of"),
    (["rerank"], "no query given"),
    (["rerank", "query"], "no model given"),
    (["rerank", "query", "--server", ":1", "--max-length", "9"], "leave it out with --server"),
    (["rerank", "query", "--server", ":1", "--pooling", "rerank"], "leave it out with --server"),
    (["rerank", "query", "--pooling", "median"], "--pooling: 'median' is not one of"),
    (["bench", "--requests", "9", "--duration", "1s"], "leave one of them out"),
    (["serve", "x", "--auto-truncate", "maybe"], "'maybe' is not true or false"),
    (["models", "drop"], "list, show, pull"),
    (["models", "show"], "one model"),
    (["plan"], "nothing to plan for"),
    (["plan", "modle", "x", "--gpu", "h200"], "takes -c FILE, or the words: model MODEL"),
    (["plan", "model", "x"], "--gpu says what to plan for"),
    (["plan", "model", "x", "--gpu", "h200", "--dtype", "int4"], "--dtype: 'int4' is not one of auto, float32,"),
    (["plan", "model", "x", "--gpu", "a100"], "'a100' may be any of a100-40, a100-80"),
    (["plan", "model", "x", "--gpu", "a100-40/1g.6gb"], "it has 1g.5gb,"),
    (["plan", "model", "x", "--gpu", "24GX"], "'24GX' is not like"),
    (["plan", "model", "x", "--gpu", "h200", "--gpu-memory-utilization", "1.5"], "is more than all of it"),
    (["plan", "-c", "x", "--cores", "x"], "--cores: 'x' is not a whole number from 1 to 4096, nor here"),
    (["plan", "-c", "x", "--cores", "2", "--gpu", "l4"], "leave out --gpu"),
    (["plan", "-c", "x", "--count", "2"], "--count counts the cards of --gpu"),
    (["plan", "-c", "x", "--memory", "1GiB"], "--memory belongs to --cores"),
    (["plan", "-c", "x", "--gpu", "24GiB"], "a plan cuts whole cards"),
    (["plan", "-c", "x", "--gpu", "h200", "--output", "y"], "--output says where --cut writes to"),
    (["plan", "-c", "x", "model", "y", "--gpu", "h200"], "are for files")])
def test_wrong_usage_is_2_and_says_what_is_right(arguments, said):
    result = sheaf(*arguments)
    assert result.returncode == 2, result
    assert said in result.stderr and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_without_arguments_the_help_goes_to_standard_error():
    result = sheaf()
    assert result.returncode == 2 and "usage: sheaf" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("command", [
    ["embed", "FILE", "--model", MODEL_FOLDER], ["rerank", "query", "FILE", "--model", MODEL_FOLDER],
    ["bench", "--texts", "FILE", "--server", "SERVER"], ["serve", MODEL_FOLDER, "--check", "-c", "FILE"],
    ["plan", "--gpu", "h200", "-c", "FILE"], ["slices", "apply", "FILE"], ["slices", "assert", "FILE"],
    ["models", "show", "FILE"]], ids=lambda command: " ".join(command[:2]))
def test_a_file_that_is_not_there_is_a_failure_of_every_command(server, tmp_path, command):
    missing = str(tmp_path / "absent")
    words = [{"FILE": missing, "SERVER": server.http.removeprefix("http://")}.get(word, word) for word in command]
    result = sheaf(*words)
    assert result.returncode == 1 and missing in result.stderr and result.stdout == "", result


def test_check_starts_nothing(tmp_path):
    good = sheaf("serve", f"mini={MODEL_FOLDER}", "--check")
    assert good.returncode == 0, good.stderr
    assert "model mini: " in good.stdout and "dimensions 384" in good.stdout
    assert "settings are valid" in good.stdout
    config = tmp_path / "sheaf.yaml"
    config.write_text("limits:\n  text: 5\n")
    bad = sheaf("serve", MODEL_FOLDER, "--config", config, "--check")
    assert bad.returncode == 2
    assert f"{config}:2: unknown key 'limits.text'; did you mean 'limits.texts'?" in bad.stderr
    twice = sheaf("serve", MODEL_FOLDER, MODEL_FOLDER, "--check")
    assert twice.returncode == 1 and "two models are to be served as" in twice.stderr
    misspelt = sheaf("serve", MODEL_FOLDER, "--check", environment={"SHEAF_PROT": "1"})
    assert misspelt.returncode == 0 and "did you mean SHEAF_PORT?" in misspelt.stderr
    absent = sheaf("serve", tmp_path / "absent", "--check")
    assert absent.returncode == 1 and "does not exist" in absent.stderr
    wrong = sheaf("serve", tmp_path, "--check")
    assert wrong.returncode == 1 and "config.json" in wrong.stderr


def test_a_misspelt_folder_is_not_taken_for_a_name_in_silence(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mini").symlink_to(MODEL_FOLDER, target_is_directory=True)
    environment = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
    path = sheaf("serve", "./models/mni", "--check", folder=tmp_path, environment=environment)
    assert path.returncode == 1
    assert path.stderr == "sheaf serve: the folder ./models/mni does not exist; did you mean ./models/mini?\n"
    name = sheaf("serve", "models/mni", "--check", folder=tmp_path, environment=environment)
    assert name.returncode == 0, name.stderr
    fits_a_screen(name.stdout)
    assert "taken for a hub name" in name.stdout and "nothing of it was looked at" in " ".join(name.stdout.split())
    assert "did you mean the folder models/mini?" in name.stdout and "models not looked at: 1;" in name.stdout
    both = sheaf("serve", "models/mni", "mini=models/mini", "--check", folder=tmp_path, environment=environment)
    assert both.returncode == 0 and "model mini: embedder" in both.stdout and "not looked at: 1" in both.stdout
    neither = sheaf("serve", "a model", "--check", folder=tmp_path, environment=environment)
    assert neither.returncode == 1 and "nor a model name of the form org/name" in neither.stderr
    file = sheaf("serve", f"{MODEL_FOLDER}/model.safetensors", "--check")
    assert file.returncode == 1
    assert f"model.safetensors is a file; name the folder that holds it: {MODEL_FOLDER}" in file.stderr


@pytest.mark.parametrize("content, said", [
    ("", "config.json: is empty"),
    ("{", "config.json: not JSON: line 1, column 2"),
    ('{\n  "a": 1,\n  b: 2}', "config.json: not JSON: line 3, column 3"),
    ("[]", "config.json: the whole is array, not an object")])
def test_a_broken_description_is_one_plain_line(tmp_path, content, said):
    for file in pathlib.Path(MODEL_FOLDER).iterdir():
        (tmp_path / file.name).symlink_to(file.resolve())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(content)
    for command in (["models", "show", tmp_path], ["serve", tmp_path, "--check"], ["embed", "--model", tmp_path]):
        result = sheaf(*command)
        assert result.returncode == 1 and said in result.stderr and "exception" not in result.stderr, result
        assert len(result.stderr.splitlines()) == 1


def test_what_a_check_prints_fits_a_terminal(server):
    check = sheaf("serve", f"a-name-of-some-length/{MODEL}={MODEL_FOLDER}", "--check", "--num-replicas", "2")
    assert check.returncode == 0 and "defaults: " in check.stdout, check.stderr
    whole = [line for line in check.stdout.splitlines() if not line.startswith("  folder: ")]
    words = [line.strip() for line in whole if len(line) > 80 and " " in line.strip()]
    assert words == [], "lines that could be broken"
    checked = sheaf("slices", "check", environment={"SHEAF_NVML": "/no/such/libnvidia-ml.so.1"})
    assert [line for line in checked.stdout.splitlines() if len(line) > 80] == []


def test_defaults_are_not_told_before_an_error(tmp_path):
    result = sheaf("serve", tmp_path, "--port", "0", "--grpc-port", "0")
    assert result.returncode == 1 and "defaults:" not in result.stderr
    assert "is not a model: it has no config.json" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("check", [["--check"], ["--port", "0", "--grpc-port", "0"]])
def test_weights_that_contradict_the_description_are_refused_before_the_start(tmp_path, check):
    for file in pathlib.Path(MODEL_FOLDER).iterdir():
        (tmp_path / file.name).symlink_to(file.resolve())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 1024}))
    result = sheaf("serve", tmp_path, *check)
    assert result.returncode == 1, result
    assert (f"{tmp_path}/model.safetensors: tensor 'encoder.layer.0.intermediate.dense.weight' has shape "
            "[1536, 384] where config.json says [1024, 384]") in result.stderr


def test_a_folder_without_a_model_is_refused_naming_the_file(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    result = sheaf("serve", tmp_path, "--port", "0", "--grpc-port", "0")
    assert result.returncode == 1
    assert "tokenizer.json" in result.stderr


def test_a_taken_port_is_named(server):
    result = sheaf("serve", MODEL_FOLDER, "--port", server.port, "--grpc-port", "0")
    assert result.returncode == 1 and str(server.port) in result.stderr
    assert result.stdout == ""
    result = sheaf("serve", MODEL_FOLDER, "--port", server.port, "--grpc-port", "0", "--log-json")
    assert str(server.port) in json.loads(result.stderr.splitlines()[-1])["message"]


TEXTS = ["hello world", "", "Größe 東京 🚀", "word " * 400, "last"]


@pytest.fixture(scope="module")
def expected(server):
    answer = server.embed([t.strip() for t in TEXTS]).json()
    return np.array([d["embedding"] for d in answer["data"]], np.float32)


def test_embed_standard_input_to_json_lines(expected):
    result = sheaf("embed", "--model", MODEL_FOLDER, stdin="\n".join(TEXTS) + "\n")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["text"] for r in rows] == TEXTS
    np.testing.assert_allclose([r["embedding"] for r in rows], expected, atol=1e-5)
    assert result.stderr == "sheaf embed: cut to the tokens that the model takes: 1 line\n"


def test_lines_that_are_cut_are_counted_here_and_there(server):
    lines = "word " * 600 + "\n" + "short\n" + "another " * 700 + "\n"
    for place in (["--model", MODEL_FOLDER], ["--server", server.http]):
        result = sheaf("embed", *place, "--batch-size", "1", stdin=lines)
        assert result.returncode == 0
        assert result.stderr == "sheaf embed: cut to the tokens that the model takes: 2 lines\n"


@pytest.mark.parametrize("where", ["here", "server"])
def test_embed_files_to_npy(where, server, expected, tmp_path):
    one, two, out = tmp_path / "one.txt", tmp_path / "two.txt", tmp_path / "out.npy"
    one.write_text("\n".join(TEXTS[:3]) + "\n")
    two.write_text("\n".join(TEXTS[3:]))
    place = ["--model", MODEL_FOLDER] if where == "here" else ["--server", server.http]
    result = sheaf("embed", one, two, "--output", out, "--batch-size", "2", *place)
    assert result.returncode == 0, result.stderr
    got = np.load(out)
    assert got.dtype == np.float32 and got.shape == (5, 384)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_embed_many_lines_keeps_their_order(server, tmp_path):
    texts = [f"line {i} " + "word " * (i % 10) for i in range(1000)]
    here = sheaf("embed", "--model", MODEL_FOLDER, stdin="\n".join(texts))
    there = sheaf("embed", "--server", server.http, stdin="\n".join(texts))
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    rows = [json.loads(line) for line in here.stdout.splitlines()]
    assert [r["text"] for r in rows] == texts
    np.testing.assert_allclose([r["embedding"] for r in rows],
                               [json.loads(line)["embedding"] for line in there.stdout.splitlines()],
                               atol=2e-5)


def test_embed_failures(server, tmp_path):
    assert "no-such-file" in sheaf("embed", tmp_path / "no-such-file").stderr
    unknown = sheaf("embed", "--server", server.http, "--model", "org/unknown", stdin="a\n")
    assert unknown.returncode == 1 and "org/unknown" in unknown.stderr
    nobody = sheaf("embed", "--server", "127.0.0.1:1", stdin="a\n")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr
    wrong = sheaf("embed", "--model", tmp_path, stdin="a\n")
    assert wrong.returncode == 1 and wrong.stdout == ""


def test_embed_leaves_an_output_as_it_was_when_it_fails(tmp_path):
    out = tmp_path / "out.npy"
    np.save(out, np.ones(3))
    failed = sheaf("embed", "--server", "127.0.0.1:1", "--output", out, stdin="a\n")
    assert failed.returncode == 1
    assert np.load(out).tolist() == [1, 1, 1] and os.listdir(tmp_path) == ["out.npy"]
    process = subprocess.Popen([str(SHEAF), "embed", "--model", MODEL_FOLDER, "--output", out],
                               stdin=subprocess.PIPE)
    part = tmp_path / "out.npy.part"
    wait_until(part.exists, what="the file in the making")
    process.kill()
    process.communicate()
    assert np.load(out).tolist() == [1, 1, 1]
    with pytest.raises((EOFError, ValueError)):
        np.load(part, allow_pickle=False)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_embed_that_is_interrupted_leaves_nothing_behind(tmp_path, how):
    out = tmp_path / "out.npy"
    # Whoever runs the tests in the background or by nohup has them ignored, and so would what is started.
    process = subprocess.Popen([str(SHEAF), "embed", "--model", MODEL_FOLDER, "--output", out], stdin=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(how, signal.SIG_DFL))
    wait_until((tmp_path / "out.npy.part").exists, what="the file in the making")
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode == -how and os.listdir(tmp_path) == []


def test_embed_to_devices(expected):
    result = sheaf("embed", "--model", MODEL_FOLDER, "--output", "/dev/stdout", stdin="last\n")
    np.testing.assert_allclose(json.loads(result.stdout)["embedding"], expected[-1], atol=1e-5)


def test_embed_says_how_many_lines_are_broken(tmp_path):
    latin = tmp_path / "latin1.txt"
    latin.write_bytes("Größe\nplain\nMaß\n".encode("latin-1"))
    result = sheaf("embed", latin, "--model", f"mini={MODEL_FOLDER}")
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 3
    assert "not valid UTF-8" in result.stderr and "2 lines" in result.stderr


def test_variables_of_clients(server):
    nobody = {"SHEAF_SERVER": "127.0.0.1:1"}
    there = sheaf("embed", environment={"SHEAF_SERVER": server.http}, stdin="a\n")
    assert there.returncode == 0, there.stderr
    lost = sheaf("embed", environment=nobody, stdin="a\n")
    assert lost.returncode == 1 and "127.0.0.1:1" in lost.stderr
    here = sheaf("embed", "--model", MODEL_FOLDER, environment=nobody, stdin="a\n")
    assert here.returncode == 0, "a folder is on this machine: " + here.stderr
    for command in ("embed", "rerank", "bench"):
        assert "SHEAF_SERVER and SHEAF_API_KEY" in sheaf(command, "--help").stdout


def test_http_to_the_grpc_port(server):
    for command in (["embed"], ["bench", "--requests", "1"]):
        result = sheaf(*command, "--server", server.grpc, stdin="a\n")
        assert result.returncode == 1
        assert f"{server.grpc} answers no HTTP/1.1; is this the gRPC port?" in result.stderr


def cache_with_model(root):
    """A Hugging Face cache that holds the model as org/mini."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = root / "hub/models--org--mini"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(MODEL_FOLDER, target_is_directory=True)
    return commit


def test_models(tmp_path):
    commit = cache_with_model(tmp_path)
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    table = sheaf("models", environment=environment)
    assert table.returncode == 0, table.stderr
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["model", "revision", "size"]
    assert lines[1].split()[:2] == ["org/mini", commit[:8]]
    fits_a_screen(table.stdout)
    listed = json.loads(sheaf("models", "list", "--json", environment=environment).stdout)
    assert listed[0]["name"] == "org/mini" and listed[0]["revision"] == commit
    shown = sheaf("models", "show", "org/mini", "--json", environment=environment)
    facts = json.loads(shown.stdout)
    assert facts["dimensions"] == 384 and facts["max_length_tokens"] == 256
    assert facts["pooling"] == "mean, normalized" and facts["similarity"] == "cosine"
    assert facts["architecture"] == "bert" and facts["parameters"] == 22_713_216
    assert facts["stored_dtype"] == "F32" and facts["prompts"] == {} and facts["positions"] == 512
    assert facts["heads"] == facts["kv_heads"] == 12 and facts["intermediate_size"] == 1536
    assert facts["max_batch_tokens"] == 16384
    fewer = json.loads(sheaf("models", "show", "org/mini", "--max-batch-tokens", "2048", "--json",
                             environment=environment).stdout)
    assert fewer["max_batch_tokens"] == 2048 and fewer["weights_bytes"] == facts["weights_bytes"]
    assert fewer["replica_bytes"] < facts["replica_bytes"]
    assert facts["outputs"] == {"vector": 384, "tokens": 384} and facts["extra_heads"] == facts["notes"] == []
    plain = sheaf("models", "show", "org/mini", environment=environment)
    assert "dimensions         384" in plain.stdout
    pulled = sheaf("models", "pull", "org/mini", "--json", environment=environment)
    assert json.loads(pulled.stdout)["revision"] == commit
    missing = sheaf("models", "show", "org/none", environment=environment)
    assert missing.returncode == 1 and "org/none" in missing.stderr
    assert missing.stderr.count("fetch") == 1 and "`sheaf models pull`" in missing.stderr


def test_models_of_an_empty_cache(tmp_path):
    result = sheaf("models", environment={"HF_HOME": str(tmp_path)})
    assert result.returncode == 0 and str(tmp_path) in result.stdout


def bench(server, *flags, grpc=False):
    address = ["--server", server.grpc, "--grpc"] if grpc else ["--server", server.http]
    return sheaf("bench", *address, "--duration", "500ms", "--warmup", "100ms", *flags)


@pytest.mark.parametrize("grpc", [False, True])
def test_bench_json(server, grpc):
    result = bench(server, "--batch-sizes", "1,4", "--concurrency", "4", "--prompt-length", "20",
                   "--json", grpc=grpc)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["protocol"] == ("grpc" if grpc else "http")
    assert [s["batch_size"] for s in report["steps"]] == [1, 4]
    for step in report["steps"]:
        assert step["errors"] == 0 and step["requests"] > 0
        assert step["texts"] == step["requests"] * step["batch_size"]
        assert step["tokens_per_text"] == pytest.approx(20, abs=2)
        assert step["tokens_per_s"] == pytest.approx(step["tokens"] / step["seconds"], rel=0.01)
        latency = step["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"]
        assert 0 < step["overhead_us_p50"] <= latency["p99"] * 1000


def test_bench_counts_what_the_server_counts(server):
    before = sum(r["tokens"] for r in server.fleet()["replicas"])
    result = sheaf("bench", "--server", server.http, "--requests", "50", "--batch-sizes", "3",
                   "--warmup", "0", "--concurrency", "1", "--prompt-length", "12", "--json")
    step = json.loads(result.stdout)["steps"][0]
    after = sum(r["tokens"] for r in server.fleet()["replicas"])
    assert step["requests"] == 50 and "about" in result.stderr
    assert after - before >= step["tokens"] > 50 * 3 * 8


def test_bench_says_that_texts_are_cut(server):
    def said_of(length):
        return sheaf("bench", "--server", server.http, "--requests", "2", "--concurrency", "1", "--warmup", "0",
                     "--batch-sizes", "1", "--prompt-length", length).stderr

    assert "--prompt-length 1000: the model cuts such texts to 256 tokens" in said_of("1000")
    assert "cuts" not in said_of("200")


def test_bench_table(server):
    result = bench(server, "--batch-sizes", "1,16", "--concurrency", "2")
    assert result.returncode == 0, result.stderr
    fits_a_screen(result.stdout)
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["batch", "texts/s", "tokens/s", "p50", "p90", "p99", "p99.9",
                                "overhead", "errors"]
    assert lines[2].split()[0] == "1" and lines[3].split()[0] == "16"


def test_bench_open_loop_and_texts_of_a_file(server, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo words\n")
    result = bench(server, "--rate", "50", "--texts", texts, "--batch-sizes", "2", "--json")
    step = json.loads(result.stdout)["steps"][0]
    assert step["errors"] == 0 and 20 <= step["requests"] <= 26
    assert step["tokens_per_text"] == pytest.approx(3.5)


def test_bench_above_capacity_says_so_and_measures_what_was_answered(server):
    result = bench(server, "--rate", "50000", "--batch-sizes", "1", "--json")
    step = json.loads(result.stdout)["steps"][0]
    assert step["errors"] == 0 and step["unsent"] > 0
    assert 0 < step["latency_ms"]["p50"] <= step["latency_ms"]["p99.9"]
    table = bench(server, "--rate", "50000", "--batch-sizes", "1")
    assert "cannot be kept" in table.stdout
    fits_a_screen(table.stdout)


def test_bench_that_is_interrupted_shows_what_there_is(server):
    def batches():
        return sum(one["batches"] for one in server.fleet()["replicas"])

    before = batches()
    process = subprocess.Popen([str(SHEAF), "bench", "--server", server.http, "--batch-sizes", "1,2,4", "--duration", "10m",
                                "--warmup", "10ms", "--concurrency", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               bufsize=1)
    wait_until(lambda: batches() > before + 20, what="its requests")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.count("interrupted after") == 1 and len([line for line in out.splitlines() if line.startswith("1 ")]) == 1


def test_bench_failures(server):
    nobody = sheaf("bench", "--server", "127.0.0.1:1")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr and nobody.stdout == ""
    unknown = bench(server, "--model", "org/unknown")
    assert unknown.returncode == 1 and "org/unknown" in unknown.stderr


def test_progress_bar_on_a_terminal_only(server):
    """On a terminal the bar is drawn and removed; the captured runs above saw none."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(SHEAF), "bench", "--server", server.http, "--duration", "600ms", "--warmup", "0",
         "--batch-sizes", "1", "--concurrency", "2"],
        stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # the terminal's other end is closed
                break
            seen += chunk
        elif process.poll() is not None:
            break
    process.wait(timeout=10)
    os.close(master)
    text = seen.decode()
    assert "batch 1 [" in text and "%" in text and text.endswith("\r\x1b[K")
    assert max(len(line) for line in text.replace("\x1b[K", "").split("\r")) <= 79


def test_bench_slices_compares_cuts():
    done = sheaf("bench", "slices", MODEL_FOLDER, "--slices", "cores:0,cores:1", "--whole", "cores:0-1", "--duration", "200ms",
                 "--warmup", "50ms", "--concurrency", "1,2", "--dtype", "float32", "--json")
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [(s["arrangement"], s["concurrency"]) for s in steps] == [
        (name, n) for name in ("1 replica on 1 slice", "2 replicas on 2 slices", "1 replica on the whole") for n in (1, 2)]
    for step in steps:
        assert step["requests_per_s"] > 0 and step["errors"] == 0 and 0 < step["busy"] <= 1.1
    assert steps[0]["busy"] <= 0.55, "half of the cores"
    alone = sheaf("bench", "slices", MODEL_FOLDER, "--slices", "cores:0")
    assert alone.returncode == 2 and "cores:0 is the only slice" in alone.stderr
