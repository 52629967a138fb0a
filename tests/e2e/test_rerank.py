"""Rerankers through the clients that ask them. SHEAF_TEST_RERANKER names the folder of a cross-encoder with one label;
without it a tiny random one of the golden files is served."""

import json
import math
import os
import shutil
import sys

import cohere
import openai
import pytest
import requests

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, Server

sys.path.insert(0, str(REPOSITORY / "tests/tokenizer"))
import unigram_variants  # noqa: E402

NAME = "reranker"
QUERY = "How do plants turn sunlight into sugar?"
DOCUMENTS = ["Photosynthesis stores the energy of light in sugar.", "The cat sat on the mat.",
             "Katzen liegen gern in der Sonne.", "", "Leaves are green because of chlorophyll."]


def folder():
    given = os.environ.get("SHEAF_TEST_RERANKER")
    golden = sorted((REPOSITORY / "tests/golden/rerankers").glob("*/config.json"))
    if given or golden:
        return given or golden[0].parent
    pytest.skip("SHEAF_TEST_RERANKER is not set, and there are no golden rerankers")


@pytest.fixture(scope="module")
def reranker():
    with Server(model=f"{NAME}={folder()}", replicas=1) as server:
        yield server


@pytest.fixture(scope="module")
def ask(reranker):
    def post(path, status=200, **body):
        answer = requests.post(reranker.http + path, json=body, timeout=30)
        assert answer.status_code == status, answer.text
        return answer.json()
    return post


@pytest.fixture(scope="module")
def scores(ask):
    """Of DOCUMENTS for QUERY, in that order, as vLLM's clients get them."""
    data = ask("/v1/score", text_1=QUERY, text_2=DOCUMENTS)["data"]
    assert [row["index"] for row in data] == list(range(len(DOCUMENTS)))
    found = [row["score"] for row in data]
    assert len(set(found)) > 1 and all(0 <= score <= 1 for score in found)
    return found


def check(results, scores, count=len(DOCUMENTS), score_of=lambda r: r["relevance_score"],
          index_of=lambda r: r["index"]):
    """That `results` are the best `count`, the best first, each once."""
    got = [score_of(result) for result in results]
    assert got == pytest.approx(sorted(scores, reverse=True)[:count], abs=1e-6)
    assert got == pytest.approx([scores[index_of(result)] for result in results], abs=1e-6)
    assert len({index_of(result) for result in results}) == count


def test_cohere_version_2(reranker, scores):
    client = cohere.ClientV2(api_key="none", base_url=reranker.http)
    answer = client.rerank(model=NAME, query=QUERY, documents=DOCUMENTS, top_n=3)
    check([result.model_dump() for result in answer.results], scores, count=3)
    assert answer.meta.billed_units.search_units == 1 and answer.id


def test_cohere_version_1(reranker, scores):
    client = cohere.Client(api_key="none", base_url=reranker.http)
    answer = client.rerank(model=NAME, query=QUERY, return_documents=True,
                           documents=[{"text": text} for text in DOCUMENTS])
    check([result.model_dump() for result in answer.results], scores)
    assert all(result.document.text == DOCUMENTS[result.index] for result in answer.results)


def test_cohere_errors(reranker):
    client = cohere.ClientV2(api_key="none", base_url=reranker.http)
    with pytest.raises(cohere.errors.BadRequestError) as refusal:
        client.rerank(model=NAME, query=QUERY, documents=[])
    assert "documents" in refusal.value.body["message"]
    with pytest.raises(cohere.errors.NotFoundError):
        client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)


@pytest.mark.parametrize("path", ["/rerank", "/"])
def test_tei(ask, scores, path):
    answer = ask(path, query=QUERY, texts=DOCUMENTS)
    check(answer, scores, score_of=lambda r: r["score"])
    assert all("text" not in result for result in answer)
    with_text = ask(path, query=QUERY, texts=DOCUMENTS, return_text=True, truncate=True,
                    truncation_direction="Left")
    assert all(result["text"] == DOCUMENTS[result["index"]] for result in with_text)


def test_raw_scores_are_before_the_sigmoid(ask, scores):
    for result in ask("/rerank", query=QUERY, texts=DOCUMENTS, raw_scores=True):
        sigmoid = 1 / (1 + math.exp(-result["score"]))
        assert sigmoid == pytest.approx(scores[result["index"]], abs=1e-6)


def test_jina(ask, scores):
    answer = ask("/v1/rerank", model=NAME, query=QUERY, documents=DOCUMENTS, top_n=2)
    check(answer["results"], scores, count=2)
    assert all(r["document"] == {"text": DOCUMENTS[r["index"]]} for r in answer["results"])
    assert answer["usage"]["total_tokens"] > 0 and answer["model"] == NAME


def test_open_webui_gets_every_index_once(ask, scores):
    answer = ask("/rerank", model=NAME, query=QUERY, documents=DOCUMENTS, top_n=len(DOCUMENTS))
    check(answer["results"], scores)


def test_ragflow_sends_texts_for_booleans_and_reads_meta(ask):
    answer = ask("/v1/rerank", model=NAME, query=QUERY, documents=DOCUMENTS,
                 return_documents="true", return_len="true")
    assert answer["meta"]["tokens"]["input_tokens"] == answer["usage"]["total_tokens"] > 0
    assert answer["meta"]["tokens"]["output_tokens"] == 0


def test_weaviate_goes_by_place(ask, scores):
    answer = ask("/rerank", query=QUERY, documents=DOCUMENTS, property="")
    assert answer["query"] == QUERY
    assert [row["document"] for row in answer["scores"]] == DOCUMENTS
    assert [row["score"] for row in answer["scores"]] == pytest.approx(scores, abs=1e-6)


def test_predict_takes_pairs(ask, scores):
    answer = ask("/predict", inputs=[[QUERY, text] for text in DOCUMENTS])
    assert [labels[0]["score"] for labels in answer] == pytest.approx(scores, abs=1e-6)


def test_a_long_document_is_cut_or_refused(ask):
    long = "word " * 20_000
    assert len(ask("/rerank", query=QUERY, texts=[long, "short"])) == 2
    refusal = ask("/rerank", status=422, query=QUERY, texts=[long], truncate=False)
    assert refusal["error_type"] == "Validation"


def test_a_reranker_does_not_embed(reranker, ask):
    client = openai.OpenAI(api_key="none", base_url=reranker.http + "/v1")
    assert [model.id for model in client.models.list()] == [NAME]
    with pytest.raises(openai.BadRequestError) as refusal:
        client.embeddings.create(model=NAME, input="a")
    assert refusal.value.code == "wrong_model_type"
    assert "reranker" in requests.get(reranker.http + "/info", timeout=10).json()["model_type"]


def test_an_embedder_does_not_rerank(server):
    answer = requests.post(server.http + "/rerank", json={"query": QUERY, "texts": DOCUMENTS},
                           timeout=10)
    assert answer.status_code == 424 and "embeds texts" in answer.json()["error"]


@pytest.mark.parametrize("name", ["bert", "deberta", "qwen3_reranker", "logit_score"])
def test_scores_are_those_of_sentence_transformers(name, tmp_path):
    """tests/golden/rerankers/make.py: pairs of all lengths, cut where they are too long."""
    golden = tmp_path / name
    shutil.copytree(REPOSITORY / "tests/golden/rerankers" / name, golden)
    if not (golden / "tokenizer.json").exists():
        (golden / "tokenizer.json").write_text(json.dumps(unigram_variants.tokenizer("deberta_v3")))
    rows = json.loads((golden / "scores.json").read_text())
    with Server("--log-level", "warn", model=golden, replicas=2) as server:
        body = {"text_1": [row["pair"][0] for row in rows], "text_2": [row["pair"][1] for row in rows]}
        data = requests.post(server.http + "/v1/score", json=body, timeout=30).json()["data"]
    assert [row["score"] for row in data] == pytest.approx([row["score"] for row in rows], abs=1e-5)


def test_an_instruction_takes_the_place_of_the_templates_own():
    golden = REPOSITORY / "tests/golden/rerankers/logit_score"
    want = json.loads((golden / "instructed.json").read_text())
    pairs = [row["pair"] for row in want["rows"]]
    body = {"text_1": [pair[0] for pair in pairs], "text_2": [pair[1] for pair in pairs]}
    with Server("--log-level", "warn", model=golden, replicas=1) as server:
        def scores(**fields):
            data = requests.post(server.http + "/v1/score", json=body | fields, timeout=30).json()["data"]
            return [row["score"] for row in data]
        expected = pytest.approx([row["score"] for row in want["rows"]], abs=1e-5)
        assert scores(instruction=want["instruction"]) == expected
        usual = [row["score"] for row in json.loads((golden / "scores.json").read_text())][:len(pairs)]
        assert scores(instruction=None, prompt_name="task") == pytest.approx(usual, abs=1e-5)
        for wrong in ({"prompt_name": "other"}, {"prompt_name": "task", "instruction": "Find it"}):
            answer = requests.post(server.http + "/rerank", json={"query": "q", "documents": ["d"]} | wrong, timeout=30)
            assert answer.status_code == 400, answer.text


def test_other_rerankers_refuse_an_instruction(reranker):
    if os.environ.get("SHEAF_TEST_RERANKER"):
        pytest.skip("the reranker given may have a template")
    for route in ("/rerank", "/v1/rerank", "/v2/rerank"):
        body = {"query": "q", "documents": ["d"], "instruction": "Find it"}
        answer = requests.post(reranker.http + route, json=body, timeout=30)
        assert answer.status_code == 400 and "reads pairs as they are" in answer.text


def test_models_of_both_kinds_serve_clients_that_name_none():
    """The reranker first, so that neither route gets its model by mere order."""
    if not MODEL_FOLDER:
        pytest.skip("SHEAF_TEST_MODEL is not set")
    with Server(f"{MODEL}={MODEL_FOLDER}", model=f"{NAME}={folder()}", replicas=1) as server:
        embedded = server.embed(["hello"])
        assert embedded.status_code == 200 and embedded.json()["model"] == MODEL
        ranked = requests.post(server.http + "/rerank", json={"query": QUERY, "documents": DOCUMENTS},
                               timeout=30).json()
        assert ranked["model"] == NAME and len(ranked["results"]) == len(DOCUMENTS)
        wrong = server.embed(["hello"], model=NAME)
        assert wrong.status_code == 400 and wrong.json()["error"]["code"] == "wrong_model_type"
