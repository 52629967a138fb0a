"""docs/models.md says what works; it is made here, from the golden models that the engine's tests hold against their
references, so that it cannot say more. `python tests/models_test.py` writes it anew."""

import json
import pathlib

SOURCE = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = SOURCE / "tests/golden"
PAGE = SOURCE / "docs/models.md"

# Family, what its config.json says, checkpoints people use that are of this form.
FAMILIES = [
    ("BERT", "all-MiniLM-L6-v2, bge-*-en-v1.5, e5-*, gte-small … large, arctic-embed, ms-marco cross-encoders, splade-*"),
    ("DistilBERT", "msmarco-distilbert-*, multi-qa-distilbert-*, splade-v3-distilbert"),
    ("RoBERTa, CamemBERT", "all-distilroberta-v1, stsb-roberta cross-encoders"),
    ("XLM-RoBERTa", "bge-m3, multilingual-e5-*, arctic-embed-l-v2.0, bge-reranker-v2-m3"),
    ("MPNet", "all-mpnet-base-v2, multi-qa-mpnet-*"),
    ("DeBERTa v2, v3", "mxbai-rerank-*-v1, deberta-v3 cross-encoders and classifiers"),
    ("ModernBERT", "modernbert-embed, gte-modernbert-base, gte-reranker-modernbert-base"),
    ("NomicBERT", "nomic-embed-text-v1, v1.5, v2-moe"),
    ("GTE", "gte-*-en-v1.5, gte-multilingual-base, arctic-embed-m-v2.0, stella_en_400M_v5"),
    ("JinaBERT v2", "jina-embeddings-v2-base-*, -code"),
    ("Jina's XLM-RoBERTa", "jina-embeddings-v3 without its adapters, jina-reranker-v2"),
    ("Qwen3", "Qwen3-Embedding, Qwen3-Reranker"),
    ("Qwen2", "gte-Qwen2-*-instruct"),
    ("Mistral", "e5-mistral-7b-instruct and kin"),
    ("Llama", "embedders made of Llama 2 and 3"),
    ("Phi-3", "embedders made of Phi-3 and Phi-4-mini"),
    ("Gemma 3 (text)", "embeddinggemma-300m"),
]
BY_TYPE = {"bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa, CamemBERT", "xlm-roberta": "XLM-RoBERTa",
           "mpnet": "MPNet", "deberta-v2": "DeBERTa v2, v3", "modernbert": "ModernBERT", "nomic_bert": "NomicBERT",
           "gte": "GTE", "new": "GTE", "jina_embeddings_v3": "Jina's XLM-RoBERTa", "qwen3": "Qwen3", "qwen2": "Qwen2",
           "mistral": "Mistral", "llama": "Llama", "gemma3_text": "Gemma 3 (text)",
           "phi3": "Phi-3"}
COLUMNS = ["vectors", "ranks, classifies", "sparse", "several vectors"]

HEAD = """# Models

Made by tests/models_test.py from the golden models in tests/golden: tiny ones with random weights, each of which the tests run on
every backend of the machine against transformers, sentence-transformers or, where these have not the family, its published
definition (cosine at least 0.99999, errors at most 1e-4 of the largest value, in float32). A number says how many such models
stand behind a mark. Of real checkpoints only all-MiniLM-L6-v2 is run by the tests; the others named are of these forms.

"""


TAIL = """
Rotary positions may be scaled as transformers scales them, in its `rope_parameters` or the older `rope_scaling`: `linear`, `llama3`,
`yarn`, `longrope`, `dynamic` (which changes nothing up to max_position_embeddings). Which of longrope's two lists holds goes by a
text's own length; transformers goes by the longest of a batch. `partial_rotary_factor` is obeyed of Phi-3, NomicBERT has its own
`rotary_emb_fraction`; of the other families transformers turns whole heads whatever it says, and it is refused.
"""


def family_of(config):
    code = json.dumps(config.get("auto_map", {}))
    if "XLMRobertaFlash" in code:
        return "Jina's XLM-RoBERTa"
    return "JinaBERT v2" if "jina-bert" in code else BY_TYPE[config["model_type"]]


def uses_of(path, config):
    """What the tests ask of this golden model."""
    kind = path.relative_to(GOLDEN).parts[0]
    if kind == "sparse":
        of_tokens = list(path.parent.glob("colbert_linear.*"))
        return ["sparse", "several vectors"] if of_tokens else ["sparse"]
    return ["ranks, classifies"] if kind in ("rerankers", "classifiers") else ["vectors"]


def golden_models():
    """Path of config.json and its content, of each model as a whole."""
    for path in sorted(GOLDEN.glob("**/config.json")):
        config = json.loads(path.read_text())
        if "model_type" in config:
            yield path, config


def render():
    counts = {family: dict.fromkeys(COLUMNS, 0) for family, _ in FAMILIES}
    for path, config in golden_models():
        for use in uses_of(path, config):
            counts[family_of(config)][use] += 1
    lines = [f"| family | {' | '.join(COLUMNS)} | checkpoints of this form |", "| --- |" + " --- |" * (len(COLUMNS) + 1)]
    for family, checkpoints in FAMILIES:
        marks = [f"yes ({n})" if n else "" for n in counts[family].values()]
        lines.append(f"| {family} | {' | '.join(marks)} | {checkpoints} |")
    return HEAD + "\n".join(lines) + "\n" + TAIL


def test_the_page_is_what_the_golden_models_say():
    assert PAGE.read_text() == render(), "docs/models.md is old: python tests/models_test.py writes it anew"


def test_every_family_has_a_golden_model():
    assert {family_of(config) for _, config in golden_models()} == {family for family, _ in FAMILIES}


def test_the_engine_runs_every_golden_model():
    tests = "".join(path.read_text() for path in (SOURCE / "src/engine").glob("*_test.cc"))
    for path, _ in golden_models():
        parts = path.relative_to(GOLDEN).parts
        if parts[0] in ("families", "classifiers") or (parts[0] == "sparse" and parts[1] != "served"):
            assert f'"{parts[1]}"' in tests, path


if __name__ == "__main__":
    PAGE.write_text(render())
