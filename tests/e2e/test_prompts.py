"""What clients say their texts are for, through the whole server: tests/golden/prompts has a model with two prompts that
its pooling leaves out, and what sentence-transformers answers."""

import json
import shutil

import numpy as np
import pytest

from sheaf_server import REPOSITORY, Server
from test_commands import sheaf

GOLDEN = REPOSITORY / "tests/golden/prompts"
TEXTS = json.loads((GOLDEN / "texts.json").read_text())
VECTORS = json.loads((GOLDEN / "vectors.json").read_text())["mean"]


@pytest.fixture(scope="module")
def server():
    with Server("--log-level", "warn", model=GOLDEN / "model", replicas=1) as server:
        yield server


def vectors(server, **fields):
    answer = server.session.post(server.http + "/v1/embeddings", timeout=30,
                                 json={"input": TEXTS, "normalize": False, **fields})
    assert answer.status_code == 200, answer.text
    return np.asarray([row["embedding"] for row in answer.json()["data"]])


@pytest.mark.parametrize("fields, prompt", [
    ({}, ""), ({"prompt_name": ""}, ""), ({"task": None, "input_type": ""}, ""),
    ({"prompt_name": "query"}, "query"), ({"input_type": "search_query"}, "query"), ({"task": "retrieval.query"}, "query"),
    ({"input_type": "passage"}, "passage"), ({"input_type": "document"}, "passage"), ({"task": "retrieval.passage"}, "passage")])
def test_pooling_leaves_the_prompt_out_whoever_asks_for_it(server, fields, prompt):
    got, want = vectors(server, **fields), np.asarray(VECTORS[prompt])
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()


def test_ids_have_no_prompt_that_could_be_left_out(server):
    cases = json.loads((GOLDEN / "cases.json").read_text())[""]
    answer = server.session.post(server.http + "/embed", timeout=30, json={
        "inputs": [case["ids"] for case in cases], "normalize": False, "prompt_name": "query"})
    assert np.abs(np.asarray(answer.json()) - VECTORS[""]).max() <= 1e-4


def test_a_prompt_that_leaves_no_room_is_refused(server):
    answer = server.session.post(server.http + "/v1/embeddings", timeout=30, json={
        "input": TEXTS, "prompt_name": "query", "truncate_prompt_tokens": 11})
    assert answer.status_code == 400 and "its prompt takes all 11 tokens" in answer.text


def test_a_text_that_is_refused_is_called_by_its_line(tmp_path):
    """Of the commands that read files, here and by a server: one text loses the tokenizer's expression."""
    folder = tmp_path / "model"
    shutil.copytree(GOLDEN / "model", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(?:x+)+\\d"}, "behavior": "Isolated", "invert": False}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    for name, lines in (("good.txt", ["a", "b"]), ("bad.txt", ["a", "x" * 1000, "b"])):
        (tmp_path / name).write_text("\n".join(lines))
    with Server("--log-level", "warn", model=folder, replicas=1) as server:
        for place in (["--model", folder], ["--server", server.http]):
            result = sheaf("embed", "good.txt", "bad.txt", *place, folder=tmp_path)
            assert result.returncode == 1 and result.stdout == "", result
            assert "bad.txt:2: tokenizer.json" in result.stderr and "input" not in result.stderr, result.stderr
            piped = sheaf("embed", *place, stdin="x" * 1000)
            assert "standard input:1: tokenizer.json" in piped.stderr, piped.stderr


def test_a_task_without_prompt_is_refused_with_those_there_are(server):
    answer = server.session.post(server.http + "/v1/embeddings", timeout=30, json={"input": "a", "task": "classification"})
    assert answer.status_code == 400 and "passage, query" in answer.json()["error"]["message"]


def test_the_adapters_of_jina_are_not_left_out_silently(tmp_path):
    folder = tmp_path / "jina"
    shutil.copytree(REPOSITORY / "tests/golden/families/jina_v3_own/model", folder)
    tokenizer = json.loads((GOLDEN / "model/tokenizer.json").read_text())
    tokenizer |= {"added_tokens": [], "post_processor": None}
    tokenizer["model"] |= {"vocab": {"a": 0, "b": 1}, "unk_token": "a"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with Server("--log-level", "warn", model=folder, replicas=1) as server:
        def ask(**fields):
            return server.session.post(server.http + "/v1/embeddings", timeout=30, json={"input": "a b", **fields})
        refused = ask(task="retrieval.query")
        assert refused.status_code == 400 and "adapters are not built" in refused.json()["error"]["message"]
        assert ask(task=None).json()["data"] == ask(task="").json()["data"] == ask().json()["data"]


def test_a_rerankers_own_default_prompt_is_a_mistake(tmp_path):
    file = tmp_path / "sheaf.yaml"
    file.write_text(f"models: [{{name: r, source: {REPOSITORY}/tests/golden/rerankers/bert, default_prompt: 'q: '}}]\n")
    done = sheaf("serve", "--check", "--config", file)
    assert done.returncode == 1
    assert "r: is a reranker; default_prompt and default_prompt_name are for models that embed texts" in done.stderr
