"""Makes tiny random classifiers and rerankers and what transformers answers for them, a folder a family.

    python make.py [FAMILY...]      (needs torch, transformers)

Writes FAMILY/model/ (a model folder as transformers saves it, without tokenizer), FAMILY/cases.json
([{"ids": token ids, "second_at": where token type 1 begins, 0 for nowhere}]) and FAMILY/scores.json
([[a label's score]], as the head gives them).
"""

import json
import pathlib
import random
import sys

import torch
import transformers

sys.path.append(str(pathlib.Path(__file__).parents[1] / "families"))
import long_bert  # noqa: E402

LENGTHS = [1, 2, 3, 7, 16, 17, 27]
SHAPE = {"vocab_size": 59, "initializer_range": 0.3}  # far from the linear part of softmax and GELU
RANK = {"num_labels": 1}
MOODS = {"id2label": {0: "sad", 1: "fine", 2: "glad"}, "label2id": {"sad": 0, "fine": 1, "glad": 2}}


def bert():
    """A reranker, as the ms-marco cross-encoders."""
    config = transformers.BertConfig(
        **SHAPE, **RANK, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=44,
        max_position_embeddings=31)
    return transformers.BertForSequenceClassification(config)


def xlm_roberta():
    """A reranker, as bge-reranker-v2-m3: no second token type."""
    config = transformers.XLMRobertaConfig(
        **SHAPE, **RANK, hidden_size=30, num_hidden_layers=2, num_attention_heads=5, intermediate_size=44,
        max_position_embeddings=31, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
    return transformers.XLMRobertaForSequenceClassification(config)


def roberta():
    config = transformers.RobertaConfig(
        **SHAPE, **MOODS, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=50,
        max_position_embeddings=33, type_vocab_size=1, pad_token_id=1)
    return transformers.RobertaForSequenceClassification(config)


def distilbert():
    config = transformers.DistilBertConfig(
        **SHAPE, **MOODS, dim=28, n_layers=2, n_heads=7, hidden_dim=37, max_position_embeddings=29)
    return transformers.DistilBertForSequenceClassification(config)


def mpnet():
    """Labels without names: config.json says nothing of them."""
    config = transformers.MPNetConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=33)
    return transformers.MPNetForSequenceClassification(config)


def deberta():
    """A reranker, as mxbai-rerank: pooler, buckets."""
    config = transformers.DebertaV2Config(
        **SHAPE, **RANK, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=48, type_vocab_size=0, relative_attention=True, position_buckets=12,
        share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False, pos_att_type="p2c|c2p",
        pooler_dropout=0.1)
    return transformers.DebertaV2ForSequenceClassification(config)


def deberta_moods():
    """A classifier of several labels: only the keys' term, another activation, token types."""
    config = transformers.DebertaV2Config(
        **SHAPE, **MOODS, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=30,
        max_position_embeddings=32, type_vocab_size=2, relative_attention=True, pos_att_type="p2c",
        pooler_hidden_act="tanh", pooler_hidden_size=24)
    return transformers.DebertaV2ForSequenceClassification(config)


def modernbert():
    """As gte-reranker-modernbert: pools by the mean."""
    config = transformers.ModernBertConfig(
        **SHAPE, **RANK, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=18,
        max_position_embeddings=47, local_attention=8, global_attn_every_n_layers=2, norm_eps=1e-4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        classifier_pooling="mean", classifier_bias=True, attn_implementation="eager")
    return transformers.ModernBertForSequenceClassification(config)


def qwen3():
    """As Qwen3-Reranker converted to one label: the last token, no bias."""
    config = transformers.Qwen3Config(
        **SHAPE, **RANK, hidden_size=20, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        head_dim=10, intermediate_size=34, max_position_embeddings=29, pad_token_id=0,
        attn_implementation="eager")
    return transformers.Qwen3ForSequenceClassification(config)


def qwen2():
    """As Qwen2-based reward models and rerankers; causal."""
    config = transformers.Qwen2Config(
        **SHAPE, **MOODS, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        intermediate_size=35, max_position_embeddings=29, pad_token_id=0, attn_implementation="eager")
    return transformers.Qwen2ForSequenceClassification(config)


def mistral():
    """With a window; a reranker."""
    config = transformers.MistralConfig(
        **SHAPE, **RANK, hidden_size=18, num_hidden_layers=2, num_attention_heads=9, num_key_value_heads=3, head_dim=4,
        intermediate_size=31, max_position_embeddings=29, sliding_window=7, pad_token_id=0, attn_implementation="eager")
    return transformers.MistralForSequenceClassification(config)


def llama():
    config = transformers.LlamaConfig(
        **SHAPE, **MOODS, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=5,
        intermediate_size=33, max_position_embeddings=31, pad_token_id=0, attn_implementation="eager")
    return transformers.LlamaForSequenceClassification(config)


def phi3():
    """A reranker whose heads turn by half."""
    config = transformers.Phi3Config(
        **SHAPE, **RANK, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        intermediate_size=29, max_position_embeddings=29, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 200.0, "partial_rotary_factor": 0.5},
        attn_implementation="eager")
    return transformers.Phi3ForSequenceClassification(config)


def nomic():
    config = transformers.NomicBertConfig(
        **SHAPE, **MOODS, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, intermediate_size=27,
        max_position_embeddings=31, attn_implementation="eager")
    return transformers.NomicBertForSequenceClassification(config)


def gte():
    config = transformers.GteConfig(
        **SHAPE, **MOODS, hidden_size=28, num_hidden_layers=2, num_attention_heads=7, intermediate_size=33,
        max_position_embeddings=29, type_vocab_size=2, attn_implementation="eager")
    return transformers.GteForSequenceClassification(config)


def gte_new():
    """A reranker, as gte-multilingual-reranker-base."""
    body = long_bert.New({
        **OWN, "model_type": "new", "architectures": ["NewForSequenceClassification"], "num_attention_heads": 3,
        "max_position_embeddings": 29, "type_vocab_size": 1, "layer_norm_eps": 1e-12, "rope_theta": 20000.0,
        "position_embedding_type": "rope", "rope_scaling": {"type": "ntk", "factor": 8.0}})
    return long_bert.Classifier(body, "new", "new.pooler.dense", "classifier").spread()


def jina_bert():
    """A reranker, as jina-reranker-v1-turbo-en."""
    body = long_bert.JinaBert({
        **OWN, "model_type": "bert", "architectures": ["JinaBertForSequenceClassification"], "num_attention_heads": 6,
        "max_position_embeddings": 31, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "feed_forward_type": "geglu",
        "position_embedding_type": "alibi",
        "auto_map": {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"}})
    return long_bert.Classifier(body, "bert", "bert.pooler.dense", "classifier").spread()


def jina_xlm_roberta():
    """A reranker, as jina-reranker-v2-base-multilingual."""
    body = long_bert.JinaXlmRoberta({
        **OWN, "model_type": "xlm-roberta", "architectures": ["XLMRobertaForSequenceClassification"],
        "num_attention_heads": 4, "max_position_embeddings": 31, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
        "pad_token_id": 1, "position_embedding_type": "absolute",
        "auto_map": {"AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig"}})
    return long_bert.Classifier(body, "roberta", "classifier.dense", "classifier.out_proj").spread()


# Of those that transformers has not.
OWN = {"vocab_size": SHAPE["vocab_size"], "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 31,
       "hidden_act": "gelu", "id2label": {0: "LABEL_0"}}
FAMILIES = {make.__name__: make for make in (bert, xlm_roberta, roberta, distilbert, mpnet, deberta, deberta_moods, modernbert, qwen3, qwen2,
                                             mistral, llama, phi3, nomic, gte, gte_new, jina_bert, jina_xlm_roberta)}


def main():
    for name in sys.argv[1:] or FAMILIES:
        write_family(pathlib.Path(__file__).parent / name, FAMILIES[name])


def write_family(folder, make):
    torch.manual_seed(3)
    model = make().eval()
    with torch.no_grad():
        for _, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)
    model.save_pretrained(folder / "model")
    has_types = getattr(model.config, "type_vocab_size", 1) > 1
    rng = random.Random(5)
    # Ids from 4 on: transformers takes the padding id for padding, wherever it stands.
    cases = [{"ids": [rng.randrange(4, SHAPE["vocab_size"]) for _ in range(n)],
              "second_at": rng.randrange(1, n) if has_types and n > 2 else 0} for n in LENGTHS]
    model.double()
    write(folder / "cases.json", cases)
    write(folder / "scores.json", [scores(model, has_types, **case) for case in cases])


@torch.no_grad()
def scores(model, has_types, ids, second_at):
    extra = {}
    if has_types:
        types = [int(second_at and i >= second_at) for i in range(len(ids))]
        extra["token_type_ids"] = torch.tensor([types])
    mask = torch.ones(1, len(ids), dtype=torch.int64)
    logits = model(input_ids=torch.tensor([ids]), attention_mask=mask, **extra).logits
    return [round(x, 9) for x in logits[0].tolist()]


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
