"""Embeddings and rankings through the frameworks of RAG systems, against what the plain routes answer."""

import numpy as np
import pytest

pytest.importorskip("langchain_openai", reason="not in this environment: see conftest.py")

import langchain_huggingface  # noqa: E402
import langchain_openai  # noqa: E402
import litellm  # noqa: E402
from huggingface_hub import InferenceClient  # noqa: E402
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode  # noqa: E402
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference  # noqa: E402
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference as TeiRerank  # noqa: E402

from sheaf_server import MODEL  # noqa: E402

TEXTS = ["Photosynthesis stores the energy of light in sugar.", "The cat sat on the mat.", "",
         "Leaves are green because of chlorophyll."]
QUERY = "How do plants turn sunlight into sugar?"


def post(server, path, **body):
    answer = server.session.post(server.http + path, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def vectors(server):
    return np.asarray(post(server, "/embed", inputs=TEXTS + [QUERY]))


@pytest.fixture(scope="module")
def ranking(server):
    """(index, score), the best first."""
    return [(row["index"], row["score"]) for row in post(server, "/rerank", query=QUERY, texts=TEXTS)]


def test_langchain_openai(server, vectors):
    client = langchain_openai.OpenAIEmbeddings(base_url=server.http + "/v1", api_key="unused", model=MODEL,
                                               check_embedding_ctx_length=False, max_retries=0)
    np.testing.assert_allclose(client.embed_documents(TEXTS), vectors[:-1], atol=1e-6)
    np.testing.assert_allclose(client.embed_query(QUERY), vectors[-1], atol=1e-6)


def test_langchain_huggingface(server, vectors):
    client = langchain_huggingface.HuggingFaceEndpointEmbeddings(model=MODEL)
    client.client = InferenceClient(model=server.http)  # it takes no URL itself
    np.testing.assert_allclose(client.embed_documents(TEXTS), vectors[:-1], atol=1e-6)
    np.testing.assert_allclose(client.embed_query(QUERY), vectors[-1], atol=1e-6)


def test_llama_index_embeddings(server, vectors):
    client = TextEmbeddingsInference(model_name=MODEL, base_url=server.http, timeout=30)
    np.testing.assert_allclose(client.get_text_embedding_batch(TEXTS), vectors[:-1], atol=1e-6)
    np.testing.assert_allclose(client.get_query_embedding(QUERY), vectors[-1], atol=1e-6)


def test_llama_index_rerank(server, ranking):
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(TEXTS)]
    client = TeiRerank(base_url=server.http, top_n=3)
    best = client.postprocess_nodes(nodes, QueryBundle(QUERY))
    assert [(int(node.node.id_), pytest.approx(node.score, abs=1e-6)) for node in best] == ranking[:3]


def test_litellm_embedding(server, vectors):
    answer = litellm.embedding(model=f"openai/{MODEL}", input=TEXTS, api_base=server.http + "/v1", api_key="unused")
    np.testing.assert_allclose([row["embedding"] for row in answer.data], vectors[:-1], atol=1e-6)
    assert answer.usage.prompt_tokens > len(TEXTS)


def test_litellm_rerank(server, ranking):
    answer = litellm.rerank(model="hosted_vllm/reranker", query=QUERY, documents=TEXTS, top_n=3,
                            api_base=server.http, api_key="unused")
    assert [(row["index"], pytest.approx(row["relevance_score"], abs=1e-6)) for row in answer.results] == ranking[:3]
