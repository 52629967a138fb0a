"""`sheaf rerank`, offline and by a server: the same order and scores, whatever kind of reranker it is."""

import json
import math
import shutil

import pytest

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, Server
from test_commands import fits_a_screen, sheaf

GOLDEN = REPOSITORY / "tests/golden/rerankers"
QUERY = "How do plants turn sunlight into sugar?"
DOCUMENTS = ["Photosynthesis stores the energy of light in sugar.", "The cat sat on the mat.",
             "Katzen liegen gern in der Sonne.", "", "東京都の植物は" * 20, "tab\tand \x1b[2J escape", "word " * 400]


def rerank(*arguments, documents=DOCUMENTS):
    result = sheaf("rerank", QUERY, *arguments, stdin="\n".join(documents) + "\n" if documents else "")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(scope="module", params=["bert", "qwen3_reranker", "logit_score"])
def folder(request):
    return GOLDEN / request.param


@pytest.fixture(scope="module")
def reranker(folder):
    """Behind an embedder, which is not asked."""
    with Server(f"rerank={folder}", "--log-level", "warn", model=f"{MODEL}={MODEL_FOLDER}", replicas=1) as server:
        yield server


@pytest.fixture(scope="module")
def raw(reranker):
    """What the server's own route says: the score of each document, and their order."""
    answer = reranker.session.post(reranker.http + "/rerank", json={"query": QUERY, "texts": DOCUMENTS, "raw_scores": True})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_here_and_there_are_equal(folder, reranker, raw, batch_size):
    for place in (["--model", folder], ["--server", reranker.http], ["--server", reranker.http, "--model", "rerank"]):
        rows = json.loads(rerank(*place, "--json", "--raw-scores", "--batch-size", batch_size))
        assert [row["index"] for row in rows] == [row["index"] for row in raw]
        assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in raw], abs=1e-4)
        assert all(row["text"] == DOCUMENTS[row["index"]] for row in rows)


def test_scores_are_those_of_sentence_transformers(folder):
    golden = [row for row in json.loads((folder / "scores.json").read_text())
              if not any(c in row["pair"][1] for c in "\n\r")]
    for row in golden[::5]:
        query, document = row["pair"]
        result = sheaf("rerank", "--model", folder, "--json", "--", query, stdin=document + "\n")
        assert result.returncode == 0, result.stderr
        [ranked] = json.loads(result.stdout)
        assert ranked["score"] == pytest.approx(row["score"], abs=1e-5)


def test_the_table_fits_80_columns(folder, raw):
    table = rerank("--model", folder, "--top-n", "5")
    fits_a_screen(table)
    lines = table.splitlines()
    assert lines[0].split() == ["score", "index", "text"] and len(lines) == 6
    for line, row in zip(lines[1:], raw):
        score, index = line.split()[:2]
        assert int(index) == row["index"]
        assert float(score) == pytest.approx(1 / (1 + math.exp(-row["score"])), abs=1e-4)
    assert "\x1b" not in table and "\t" not in table


def test_files_in_order_and_the_best_of_many(tmp_path):
    """Cut on the way or at the end: the same."""
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    texts = [f"line {i % 700} " + "word " * (i % 5) for i in range(3000)]
    one.write_text("\n".join(texts[:1000]) + "\n")
    two.write_text("\n".join(texts[1000:]))
    everything = sheaf("rerank", QUERY, one, two, "--model", GOLDEN / "bert", "--json")
    best = sheaf("rerank", QUERY, one, two, "--model", GOLDEN / "bert", "--json", "--top-n", "5")
    assert everything.returncode == best.returncode == 0, everything.stderr + best.stderr
    rows = json.loads(everything.stdout)
    assert sorted(row["index"] for row in rows) == list(range(3000))
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert json.loads(best.stdout) == rows[:5]


def test_nothing_to_rank():
    assert json.loads(rerank("--model", GOLDEN / "bert", "--json", documents=[])) == []
    assert rerank("--model", GOLDEN / "bert", documents=[]).split() == ["score", "index", "text"]


def test_models_that_are_no_rerankers_are_refused_in_the_servers_words(server, tmp_path):
    said = server.session.post(server.http + "/rerank", json={"query": QUERY, "texts": ["a"]}).json()["error"]
    assert "embeds texts" in said
    here = sheaf("rerank", QUERY, "--model", f"{MODEL}={MODEL_FOLDER}", stdin="a\n")
    there = sheaf("rerank", QUERY, "--server", server.http, stdin="a\n")
    assert here.returncode == there.returncode == 1
    assert here.stderr == f"sheaf rerank: {said}\n"
    assert said in there.stderr and here.stdout == there.stdout == ""
    pooled = tmp_path / "bert"
    shutil.copytree(GOLDEN / "bert", pooled)
    vectors = sheaf("embed", "--model", pooled, stdin="a\n")
    assert vectors.returncode == 1 and "is a reranker (/rerank, /score): it does not embed" in vectors.stderr
    chosen = sheaf("embed", "--model", pooled, "--pooling", "cls", stdin="a\n")
    assert chosen.returncode == 1 and len(chosen.stderr.splitlines()) == 1
    assert "is a reranker; pooling can be chosen for models that embed texts" in chosen.stderr


def test_failures(server, tmp_path):
    missing = sheaf("rerank", QUERY, tmp_path / "no-such-file", "--model", GOLDEN / "bert")
    assert missing.returncode == 1 and "no-such-file" in missing.stderr
    nobody = sheaf("rerank", QUERY, "--server", "127.0.0.1:1", stdin="a\n")
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr
    unknown = sheaf("rerank", QUERY, "--server", server.http, "--model", "org/unknown", stdin="a\n")
    assert unknown.returncode == 1 and "org/unknown" in unknown.stderr
    latin = tmp_path / "latin1.txt"
    latin.write_bytes("Größe\nplain\n".encode("latin-1"))
    broken = sheaf("rerank", QUERY, latin, "--model", GOLDEN / "bert")
    assert broken.returncode == 0 and "sheaf rerank: not valid UTF-8" in broken.stderr and "1 line" in broken.stderr
