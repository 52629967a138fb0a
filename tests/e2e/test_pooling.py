"""--pooling, wherever a model is named: serve (flag, variable, file), its check, embed, models show."""

import json
import shutil

import numpy as np
import pytest
import requests

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, Server, unwrapped
from test_commands import sheaf
from test_sparse import GOLDEN, TEXTS, assert_equal, assert_terms, read

SENTENCES = ["a short text", "another one, which is somewhat longer than the first", "x"]


@pytest.fixture(scope="module")
def tokens():
    """The last hidden states, from which each pooling follows."""
    result = sheaf("embed", "--model", MODEL_FOLDER, "--output-kind", "tokens", stdin="\n".join(SENTENCES) + "\n")
    assert result.returncode == 0, result.stderr
    return [np.array(json.loads(line)["embeddings"]) for line in result.stdout.splitlines()]


POOLINGS = {"cls": lambda t: t[0], "mean": lambda t: t.mean(axis=0), "max": lambda t: t.max(axis=0),
            "last-token": lambda t: t[-1], "lasttoken": lambda t: t[-1], "mean_sqrt_len_tokens": lambda t: t.mean(axis=0)}


def unit(vectors):
    return [v / np.linalg.norm(v) for v in vectors]


@pytest.mark.parametrize("word", POOLINGS)
def test_embed_pools_as_it_is_told(tokens, word):
    result = sheaf("embed", "--model", MODEL_FOLDER, "--pooling", word, stdin="\n".join(SENTENCES) + "\n")
    assert result.returncode == 0, result.stderr
    got = [json.loads(line)["embedding"] for line in result.stdout.splitlines()]
    assert_equal(got, unit(map(POOLINGS[word], tokens)))


def test_serve_by_flag_variable_and_file(tokens, tmp_path):
    config = tmp_path / "sheaf.yaml"
    config.write_text(f"models:\n- {{source: {MODEL_FOLDER}, name: a, pooling: max}}\n"
                      f"- {{source: {MODEL_FOLDER}, name: b, pooling: last_token}}\n- c={MODEL_FOLDER}\npooling: cls\n")
    wanted = {"a": "max", "b": "last-token", "c": "cls"}
    shown = sheaf("serve", "--config", config, "--check")
    assert shown.returncode == 0, shown.stderr
    for word in ("pooling max, normalized", "pooling last_token, normalized", "pooling cls, normalized"):
        assert word in shown.stdout
    with Server("--log-level", "warn", model=f"--config={config}", replicas=1) as server:
        for name, pooling in wanted.items():
            answer = server.session.post(server.http + "/embed", json={"inputs": SENTENCES, "model": name}).json()
            assert_equal(answer, unit(map(POOLINGS[pooling], tokens)))
            info = server.session.get(server.http + "/info", params={"model": name}).json()
            assert info["model_type"] == {"embedding": {"pooling": pooling.replace("-", "_")}}
    with Server("--log-level", "warn", replicas=1, environment={"SHEAF_POOLING": "cls"}) as server:
        assert_equal(server.vectors(SENTENCES), unit(map(POOLINGS["cls"], tokens)))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A ...ForMaskedLM as transformers saves it."""
    folder = tmp_path_factory.mktemp("bare") / "masked"
    shutil.copytree(GOLDEN / "served/model", folder)
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_SpladePooling")
    return folder


def test_a_masked_language_model_serves_words(bare):
    check = sheaf("serve", bare, "--pooling", "splade", "--check")
    assert check.returncode == 0 and "sparse embedder" in check.stdout and "pooling splade" in check.stdout
    with Server("--log-level", "warn", "--pooling", "splade", model=bare, replicas=1) as server:
        answer = requests.post(server.http + "/embed_sparse", json={"inputs": TEXTS}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert_terms(answer.json(), read("served/words.json"))
    result = sheaf("embed", "--model", bare, "--pooling", "splade", stdin="\n".join(TEXTS) + "\n")
    assert result.returncode == 0, result.stderr
    assert_terms([json.loads(line)["sparse"] for line in result.stdout.splitlines()], read("served/words.json"))


def test_what_is_assumed_of_a_bare_model_is_said_everywhere(bare):
    check = sheaf("serve", bare, "--check")
    assert check.returncode == 0
    assert "taken for an embedder that pools by mean, without modules.json; --pooling changes that" in unwrapped(check.stdout)
    told = sheaf("serve", bare, "--check", "--pooling", "mean")
    assert told.returncode == 0 and "taken for" not in told.stdout
    [note] = json.loads(sheaf("models", "show", bare, "--json").stdout)["notes"]
    assert "pools by mean" in note
    with Server(model=bare, replicas=1) as server:
        assert server.session.get(server.http + "/info").json()["sheaf"]["notes"] == [note]
        assert any(note in line for line in server.log)


def test_models_show(bare):
    def facts(folder, *flags):
        shown = sheaf("models", "show", folder, "--json", *flags)
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)

    assert facts(MODEL_FOLDER, "--pooling", "cls")["pooling"] == "cls, normalized"
    embedder, sparse = facts(bare), facts(bare, "--pooling", "splade")
    assert (embedder["kind"], embedder["pooling"]) == ("embedder", "mean")
    assert (sparse["kind"], sparse["pooling"]) == ("sparse embedder", "splade")
    assert sparse["weights_bytes"] > embedder["weights_bytes"], "the head's are among them"
    refused = sheaf("models", "show", MODEL_FOLDER, "--pooling", "splade")
    assert refused.returncode == 1 and "SPLADE needs the head of a masked language model" in refused.stderr


@pytest.mark.parametrize("command", [["serve", "--check"], ["serve", "--port", "0", "--grpc-port", "0"], ["embed"]])
def test_what_cannot_be_pooled_so_is_refused_in_one_sentence(command):
    def said(folder, pooling):
        result = sheaf(*command, "--model", folder, "--pooling", pooling, stdin="a\n")
        assert result.returncode == 1 and result.stdout == "", result
        return result.stderr.splitlines()[-1]

    reranker = REPOSITORY / "tests/golden/rerankers/bert"
    assert "is a reranker; pooling can be chosen for models that embed texts" in said(reranker, "mean")
    assert "weights hold no tensor 'cls.predictions.transform.dense.weight'" in said(MODEL_FOLDER, "splade")
