"""`sheaf rerank`, offline and by a server: the same order and scores, whatever kind of reranker it is."""

import json
import math
import os
import pty
import shutil
import subprocess

import pytest

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, SHEAF, Server
from test_commands import fits_a_screen, says_at_most_what_is_cut, sheaf

GOLDEN = REPOSITORY / "tests/golden/rerankers"
QUERY = "How do plants turn sunlight into sugar?"
DOCUMENTS = ["Photosynthesis stores the energy of light in sugar.", "The cat sat on the mat.",
             "Katzen liegen gern in der Sonne.", "", "東京都の植物は" * 20, "tab\tand \x1b[2J escape", "word " * 400]


def rerank(*arguments, documents=DOCUMENTS):
    result = sheaf("rerank", QUERY, *arguments, stdin="\n".join(documents) + "\n" if documents else "")
    assert result.returncode == 0, result.stderr
    assert says_at_most_what_is_cut(result.stderr)
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


def test_an_instruction_and_a_prompt_are_the_routes():
    """Here and there: taken by rerankers with a template, refused by others."""
    folder = GOLDEN / "logit_score"
    with Server(f"bert={GOLDEN / 'bert'}", "--log-level", "warn", model=f"rerank={folder}", replicas=1) as server:
        for flags, fields in ((["--instruction", "Find what contradicts"], {"instruction": "Find what contradicts"}),
                              (["--prompt-name", "task"], {"prompt_name": "task"}), ([], {})):
            wanted = server.session.post(server.http + "/rerank", json={"query": QUERY, "texts": DOCUMENTS} | fields).json()
            for place in (["--model", folder], ["--server", server.http]):
                rows = json.loads(rerank(*place, *flags, "--json"))
                assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in wanted], abs=1e-5)
        for place in (["--model", f"bert={GOLDEN / 'bert'}"], ["--server", server.http, "--model", "bert"]):
            refused = sheaf("rerank", QUERY, *place, "--instruction", "x", stdin="a\n")
            assert refused.returncode == 1 and "bert reads pairs as they are" in refused.stderr
            unknown = sheaf("rerank", QUERY, *place, "--prompt-name", "none", stdin="a\n")
            assert unknown.returncode == 1 and 'prompt_name "none" is not one of' in unknown.stderr


def test_a_query_that_is_no_text_is_refused_wherever_it_is_to_be_asked(server):
    query = b"Gr\xf6\xdfe".decode("utf-8", "surrogateescape")
    for place in (["--model", GOLDEN / "bert"], ["--server", server.http]):
        result = sheaf("rerank", query, *place, stdin="a\n")
        assert result.returncode == 2 and result.stderr == "sheaf rerank: the query is not valid UTF-8, from its byte 2 on\n"


def test_a_byte_order_mark_is_no_text(tmp_path):
    marked = tmp_path / "marked.txt"
    marked.write_text("\n".join(DOCUMENTS[:3]) + "\n", encoding="utf-8-sig")
    result = sheaf("rerank", QUERY, marked, "--model", GOLDEN / "bert", "--json")
    assert json.loads(result.stdout) == json.loads(rerank("--model", GOLDEN / "bert", "--json", documents=DOCUMENTS[:3]))


def test_a_terminal_is_told_what_is_waited_for():
    ours, theirs = pty.openpty()
    process = subprocess.Popen([SHEAF, "rerank", QUERY, "--model", GOLDEN / "bert", "--json"], stdin=theirs,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr.readline() == b"sheaf rerank: reading lines from the terminal; end with Ctrl-D\n"
    os.write(ours, b"a\nb\n\x04")
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0 and len(json.loads(out)) == 2


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """Qwen's own files under a name that does not say what they are."""
    folder = tmp_path_factory.mktemp("models") / "qr"
    shutil.copytree(GOLDEN / "qwen3_reranker", folder)
    return folder


def test_a_reranker_that_nothing_tells_can_be_told(nameless):
    taken = sheaf("rerank", QUERY, "--model", nameless, stdin="a\n")
    assert taken.returncode == 1
    assert "taken for an embedder that pools by mean" in taken.stderr and "rerank for Qwen3-Reranker" in taken.stderr
    assert "taken for an embedder" in sheaf("serve", nameless, "--check").stdout
    told = rerank("--model", nameless, "--pooling", "rerank", "--json")
    assert told == rerank("--model", GOLDEN / "qwen3_reranker", "--json")
    check = sheaf("serve", nameless, "--pooling", "rerank", "--check").stdout
    assert "model qr: reranker" in check and "taken for" not in check
    with Server("--pooling", "rerank", "--log-level", "warn", model=nameless, replicas=1) as server:
        answer = server.session.post(server.http + "/rerank", json={"query": QUERY, "texts": DOCUMENTS}).json()
        assert [row["score"] for row in answer] == pytest.approx([row["score"] for row in json.loads(told)], abs=1e-5)


def test_a_refusal_names_the_fields_that_were_sent(reranker):
    texts = ["short", "much too long " * 200]
    for path, fields, said in (
            ("/rerank", {"texts": texts, "query": QUERY}, "texts[1] with query: "),
            ("/v2/rerank", {"documents": texts, "query": QUERY}, "documents[1] with query: "),
            ("/score", {"text_1": QUERY, "text_2": texts[1]}, "text_2 with text_1: "),
            ("/predict", {"inputs": [[QUERY, text] for text in texts]}, "inputs[1]: ")):
        answer = reranker.session.post(reranker.http + path, json=fields | {"truncate": False, "model": "rerank"})
        assert answer.status_code in (400, 422), answer.text
        assert said in answer.text and "are more than the model's limit" in answer.text
