"""Answers that are no single vector, through the whole server: words that weigh something (SPLADE, bge-m3's sparse head)
and vectors of tokens, against tests/golden/sparse."""

import http.server
import json
import os
import shutil
import signal
import threading

import numpy as np
import pytest
import requests

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, Server, wait_until
from test_commands import says_at_most_what_is_cut, sheaf

GOLDEN = REPOSITORY / "tests/golden/sparse"
TEXTS = json.loads((GOLDEN / "served/texts.json").read_text())


def read(name):
    return json.loads((GOLDEN / name).read_text())


def ask(server, route, inputs, **fields):
    return requests.post(server.http + route, json={"inputs": inputs, **fields}, timeout=60)


def assert_equal(got, want):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= 1e-4 * np.abs(want).max(initial=0)


def assert_terms(rows, want):
    assert len(rows) == len(want)
    for row, terms in zip(rows, want):
        assert [term["index"] for term in row] == sorted(int(i) for i in terms)
        assert_equal([term["value"] for term in row], [terms[str(term["index"])] for term in row])


@pytest.fixture(scope="module")
def splade():
    with Server("--log-level", "warn", model=GOLDEN / "served/model", replicas=2) as server:
        yield server


@pytest.fixture(scope="module")
def bge_m3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "bge_m3"
    shutil.copytree(REPOSITORY / "tests/golden/texts/xlm_roberta/model", folder)
    shutil.copy(REPOSITORY / "tests/golden/tokenizer/unigram.json", folder / "tokenizer.json")
    for head in (GOLDEN / "served_bge_m3").glob("*.safetensors"):
        shutil.copy(head, folder)
    with Server("--log-level", "warn", model=folder, replicas=1) as server:
        server.folder = folder
        yield server


@pytest.mark.parametrize("route", ["/embed_sparse", "/"])
def test_words_weigh_what_the_sparse_encoder_says(splade, route):
    answer = ask(splade, route, TEXTS)
    assert answer.status_code == 200, answer.text
    assert_terms(answer.json(), read("served/words.json"))
    assert answer.headers["x-sheaf-model"] == "model"
    one = ask(splade, route, TEXTS[0]).json()
    assert len(one) == 1 and one[0] == answer.json()[0]


def test_the_heads_of_bge_m3_answer(bge_m3):
    assert_terms(ask(bge_m3, "/embed_sparse", TEXTS).json(), read("served_bge_m3/words.json"))
    for got, want in zip(ask(bge_m3, "/embed_all", TEXTS).json(), read("served_bge_m3/tokens.json"), strict=True):
        assert_equal(got, want)
    dense = ask(bge_m3, "/embed", TEXTS)
    assert dense.status_code == 200 and len(dense.json()[0]) == 16


def test_all_tokens_have_the_vectors_that_pooling_takes(server):
    texts = ["a short text", "another one, which is somewhat longer than the first"]
    tokens = ask(server, "/embed_all", texts).json()
    counts = [len(row) for row in server.session.post(server.http + "/tokenize", json={"inputs": texts}).json()]
    assert [len(text) for text in tokens] == counts
    pooled = ask(server, "/embed", texts, normalize=False).json()
    assert_equal([np.mean(text, axis=0) for text in tokens], pooled)


def embedded(*arguments, stdin):
    result = sheaf("embed", *arguments, stdin="\n".join(stdin) + "\n")
    assert result.returncode == 0 and says_at_most_what_is_cut(result.stderr), result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["text"] for row in rows] == list(stdin)
    return rows


def test_embed_gives_what_the_model_gives(splade):
    for place in (["--model", GOLDEN / "served/model"], ["--server", splade.http]):
        rows = embedded(*place, stdin=TEXTS)
        assert_terms([row["sparse"] for row in rows], read("served/words.json"))
        assert rows == embedded(*place, "--output-kind", "sparse", "--batch-size", "2", stdin=TEXTS)
        refused = sheaf("embed", *place, "--output-kind", "vector", stdin="a\n")
        assert refused.returncode == 1 and refused.stdout == ""
        assert "model model gives no single vector of a text: it weighs words (/embed_sparse)" in refused.stderr


def test_what_a_model_gives_is_shown(bge_m3):
    words = json.loads((bge_m3.folder / "config.json").read_text())["vocab_size"]
    width = len(read("served_bge_m3/tokens.json")[0][0])
    outputs = {"vector": 16, "sparse": words, "tokens": width}
    shown = json.loads(sheaf("models", "show", bge_m3.folder, "--json").stdout)
    for facts in (shown, bge_m3.session.get(bge_m3.http + "/info").json()["sheaf"],
                  bge_m3.session.get(bge_m3.http + "/v1/models").json()["data"][0]["sheaf"]):
        assert facts["outputs"] == outputs and facts["extra_heads"] == ["sparse_linear", "colbert_linear"]
    check = sheaf("serve", bge_m3.folder, "--check").stdout.splitlines()
    for line in (f"  sparse: words {words}, head sparse_linear", f"  tokens: dimensions {width}, head colbert_linear"):
        assert line in check


def test_embed_of_several_kinds(bge_m3):
    for place in (["--server", bge_m3.http, "--model", "bge_m3"], ["--model", bge_m3.folder]):
        terms = embedded(*place, "--output-kind", "sparse", stdin=TEXTS)
        assert_terms([row["sparse"] for row in terms], read("served_bge_m3/words.json"))
        tokens = embedded(*place, "--output-kind", "tokens", stdin=TEXTS)
        for row, want in zip(tokens, read("served_bge_m3/tokens.json"), strict=True):
            assert_equal(row["embeddings"], want)
        assert all(len(row["embedding"]) == 16 for row in embedded(*place, stdin=TEXTS))


def test_embed_refuses_what_the_model_does_not_give(server, tmp_path):
    for place in (["--model", f"{MODEL}={MODEL_FOLDER}"], ["--server", server.http]):
        refused = sheaf("embed", *place, "--output-kind", "sparse", stdin="a\n")
        assert refused.returncode == 1 and refused.stdout == ""
        assert f"model {MODEL} gives no sparse vectors: it embeds texts" in refused.stderr
    npy = sheaf("embed", "--model", GOLDEN / "served/model", "--output", tmp_path / "x.npy", stdin="a\n")
    assert npy.returncode == 1 and "say --format jsonl" in npy.stderr and not (tmp_path / "x.npy").exists()


class FewTexts(http.server.BaseHTTPRequestHandler):
    """A server that answers three texts at a time, each with one token's vector: its length."""

    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"]
        self.server.asked.append(len(texts))
        body = json.dumps([[[len(text)]] for text in texts] if len(texts) <= 3 else {"error": "too large"}).encode()
        self.send_response(200 if len(texts) <= 3 else 413)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Forgetful(FewTexts):
    """Closes each connection after an answer, without a word."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        super().do_POST()
        self.close_connection = True


def lengths_by(kind, batch_size):
    """Embeds texts of 1 to 20 letters by a made-up server; gives how many texts it was asked for at a time."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as made_up:
        made_up.asked = []
        threading.Thread(target=made_up.serve_forever, daemon=True).start()
        try:
            rows = sheaf("embed", "--server", f"127.0.0.1:{made_up.server_port}", "--output-kind", "tokens",
                         "--batch-size", str(batch_size), stdin="\n".join("x" * i for i in range(1, 21)))
        finally:
            made_up.shutdown()
    assert rows.returncode == 0, rows.stderr
    assert [json.loads(row)["embeddings"] for row in rows.stdout.splitlines()] == [[[i]] for i in range(1, 21)]
    return made_up.asked


def test_embed_asks_for_less_where_an_answer_would_be_too_large():
    asked = lengths_by(FewTexts, batch_size=20)
    assert asked[0] == 20 and sum(n for n in asked if n <= 3) == 20


def test_embed_goes_on_when_a_kept_connection_was_closed():
    assert sum(lengths_by(Forgetful, batch_size=1)) == 20


def test_an_idle_sparse_model_is_found_healthy(splade):
    assert requests.get(splade.http + "/health", timeout=10).status_code == 200  # by a probe of its own kind


def test_models_that_cannot_say_so(splade, bge_m3, server):
    for where, route in ((server, "/embed_sparse"), (splade, "/embed"), (splade, "/predict")):
        answer = ask(where, route, "text")
        assert answer.status_code == 424, answer.text
        assert answer.json()["error_type"] == "Backend" and "model" in answer.json()["error"]
    refused = splade.embed("text")
    assert refused.status_code == 400 and "/embed_sparse" in refused.json()["error"]["message"]
    info = splade.session.get(splade.http + "/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "splade"}}


def test_pickled_heads_are_refused_with_the_remedy(tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(REPOSITORY / "tests/golden/texts/xlm_roberta/model", folder)
    shutil.copy(REPOSITORY / "tests/golden/tokenizer/unigram.json", folder / "tokenizer.json")
    (folder / "sparse_linear.pt").write_bytes(b"\x80\x02")
    with Server("--log-level", "warn", model=folder, replicas=1) as server:
        answer = ask(server, "/embed_sparse", "text")
        assert answer.status_code == 424
        assert "sparse_linear.pt" in answer.json()["error"] and "safetensors" in answer.json()["error"]


def test_an_answer_too_large_is_refused_with_numbers_and_before_any_work(server):
    answer = ask(server, "/embed_all", ["word " * 254] * 200)  # 256 tokens x 384 floats each: 75 MiB
    assert answer.status_code == 413, answer.text
    assert all(part in answer.json()["error"] for part in ("200 texts", "51200 tokens", "75 MiB", "64 MiB"))
    assert int(answer.headers.get("x-compute-tokens", 0)) == 0
    assert ask(server, "/embed_all", ["word " * 254] * 20).status_code == 200


def test_kill_9_under_load_of_rows_that_take_many_frames():
    texts = ["word " * (20 + 40 * i) for i in range(4)]
    with Server("--log-level", "error", replicas=2) as server:
        want = np.concatenate(ask(server, "/embed_all", texts).json())
        answers, stop = [], threading.Event()

        def load():
            session = requests.Session()
            while not stop.is_set():
                answer = session.post(server.http + "/embed_all", json={"inputs": texts}, timeout=60)
                equal = answer.status_code == 200 and np.allclose(np.concatenate(answer.json()), want, atol=1e-4)
                answers.append((answer.status_code, equal))

        clients = [threading.Thread(target=load) for _ in range(4)]
        for client in clients:
            client.start()
        for _ in range(5):
            before = len(answers)
            os.kill(server.wait_full(2, 20)[0], signal.SIGKILL)
            wait_until(lambda: len(answers) >= before + 4, 60, "answers")
        stop.set()
        for client in clients:
            client.join()
        assert set(answers) == {(200, True)}
        assert len(answers) >= 20
