"""Makes tiny random models of odd shapes and what transformers answers for them, a folder a family.

    python make.py [FAMILY...]      (needs torch, transformers, sentence-transformers)

Writes FAMILY/model/ (a model folder as the hub has them, without tokenizer), FAMILY/cases.json (token ids of each
text) and FAMILY/vectors.json ({pooling mode: [[floats]]}, not normalized).
"""

import json
import pathlib
import random
import sys

import torch
import transformers
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.sentence_transformer.modules.pooling import Pooling

LENGTHS = [1, 2, 3, 7, 16, 17, 29]
MODES = ["cls", "mean", "lasttoken"]
SHAPE = {"vocab_size": 59, "initializer_range": 0.3}  # far from the linear part of softmax and GELU


def xlm_roberta():
    config = transformers.XLMRobertaConfig(
        **SHAPE, hidden_size=30, num_hidden_layers=2, num_attention_heads=5, intermediate_size=44,
        max_position_embeddings=31, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
    return transformers.XLMRobertaModel(config, add_pooling_layer=False)


def roberta():
    """Saved from within a classifier, so that names bear a prefix; another padding id."""
    config = transformers.RobertaConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=50,
        max_position_embeddings=33, type_vocab_size=1, layer_norm_eps=1e-3, pad_token_id=3)
    return transformers.RobertaForSequenceClassification(config)


def distilbert():
    config = transformers.DistilBertConfig(
        **SHAPE, dim=28, n_layers=2, n_heads=7, hidden_dim=37, max_position_embeddings=29)
    return transformers.DistilBertModel(config)


def mpnet():
    config = transformers.MPNetConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=163)
    model = transformers.MPNetModel(config, add_pooling_layer=False)
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight, std=1.5)
    return model


def modernbert():
    """Saved from within a classifier; windows of 8 in three layers of five."""
    config = transformers.ModernBertConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=5, num_attention_heads=3, intermediate_size=18,
        max_position_embeddings=47, local_attention=8, global_attn_every_n_layers=2, norm_eps=1e-4,
        global_rope_theta=5000.0, local_rope_theta=700.0, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        cls_token_id=1, sep_token_id=2, attn_implementation="eager")
    return transformers.ModernBertForSequenceClassification(config)


def qwen3():
    """As the embedding models are: heads wider than the states, tied, without prefix."""
    config = transformers.Qwen3Config(
        **SHAPE, hidden_size=20, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
        intermediate_size=34, max_position_embeddings=29, rms_norm_eps=1e-4, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, attn_implementation="eager")
    return transformers.Qwen3Model(config)


def qwen3_windows():
    """All that may be otherwise: biases, windows of 5 from the second layer on, untied."""
    config = transformers.Qwen3Config(
        **SHAPE, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=6,
        intermediate_size=21, max_position_embeddings=31, attention_bias=True, use_sliding_window=True,
        sliding_window=5, max_window_layers=1, tie_word_embeddings=False, attn_implementation="eager")
    return transformers.Qwen3ForCausalLM(config)


def qwen2():
    """Sees the whole text, as gte-Qwen2 does; linear scaling."""
    config = transformers.Qwen2Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        intermediate_size=50, max_position_embeddings=29, is_causal=False,
        rope_parameters={"rope_type": "linear", "rope_theta": 900.0, "factor": 3.0}, attn_implementation="eager")
    return transformers.Qwen2ForCausalLM(config)


def mistral():
    config = transformers.MistralConfig(
        **SHAPE, hidden_size=18, num_hidden_layers=3, num_attention_heads=9, num_key_value_heads=3, head_dim=4,
        intermediate_size=33, max_position_embeddings=40, sliding_window=7, rms_norm_eps=1e-3,
        attn_implementation="eager")
    return transformers.MistralModel(config)


def llama():
    """Pairs of all three kinds of llama3 scaling: kept, between, scaled."""
    scaling = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    config = transformers.LlamaConfig(
        **SHAPE, hidden_size=30, num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=5, head_dim=12,
        intermediate_size=40, max_position_embeddings=50, attention_bias=True, mlp_bias=True,
        rope_parameters=scaling, attn_implementation="eager")
    return transformers.LlamaForCausalLM(config)


def gemma3():
    """As EmbeddingGemma: sees the whole text, windows in two layers of three, two Dense modules."""
    config = transformers.Gemma3TextConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
        intermediate_size=38, max_position_embeddings=30, rms_norm_eps=1e-4, query_pre_attn_scalar=7,
        use_bidirectional_attention=True, sliding_window=9,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 3000.0, "factor": 2.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}},
        attn_implementation="eager")
    return transformers.Gemma3TextModel(config)


FAMILIES = {make.__name__: make for make in (xlm_roberta, roberta, distilbert, mpnet, modernbert,
                                             qwen3, qwen3_windows, qwen2, mistral, llama, gemma3)}
LENGTHS_OF = {
    "mpnet": [1, 2, 9, 40, 161],  # past the distance at which the last bucket begins
    "modernbert": [1, 3, 5, 9, 20, 47],  # past the windows
    "qwen3_windows": [1, 5, 6, 31],
    "mistral": [1, 7, 8, 40],
    "llama": [1, 2, 19, 50],
    "gemma3": [1, 4, 5, 9, 30],
}
DTYPE_OF = {"qwen2": torch.bfloat16, "llama": torch.float16}  # as stored; else float32
DENSE_OF = {"gemma3": lambda: [Dense(24, 31, activation_function=torch.nn.Tanh()),
                               Dense(31, 9, bias=False, activation_function=torch.nn.Identity())]}
SHARD_OF = {"qwen3_windows": "9KB", "mistral": "5KB"}  # else one file


def main():
    for name in sys.argv[1:] or FAMILIES:
        write_family(pathlib.Path(__file__).parent / name, FAMILIES[name])


def write_family(folder, make):
    torch.manual_seed(3)
    whole = make().eval()
    with torch.no_grad():
        for _, value in whole.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)
            value.copy_(value.to(DTYPE_OF.get(folder.name)))
    model = folder / "model"
    stored = {name: value.to(DTYPE_OF.get(folder.name)) for name, value in whole.state_dict().items()}
    whole.save_pretrained(model, state_dict=stored, max_shard_size=SHARD_OF.get(folder.name, "5GB"))
    (model / "1_Pooling").mkdir(exist_ok=True)
    dense = DENSE_OF.get(folder.name, list)()
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    for i, module in enumerate(dense, start=2):
        (model / f"{i}_Dense").mkdir(exist_ok=True)
        module.save(str(model / f"{i}_Dense"))
        kinds.append((f"{i}_Dense", "Dense"))
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (path, kind) in enumerate(kinds)]
    write(model / "modules.json", modules)
    write(model / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})

    rng = random.Random(5)
    # Ids from 4 on: transformers takes the padding id for padding, wherever it stands.
    cases = [[rng.randrange(4, SHAPE["vocab_size"]) for _ in range(n)] for n in LENGTHS_OF.get(folder.name, LENGTHS)]
    body = getattr(whole, whole.base_model_prefix, whole).double()
    write(folder / "cases.json", cases)
    write(folder / "vectors.json", {mode: [pooled(body, mode, dense, ids) for ids in cases] for mode in MODES})


@torch.no_grad()
def pooled(body, mode, dense, ids):
    mask = torch.ones(1, len(ids), dtype=torch.int64)
    states = body(input_ids=torch.tensor([ids]), attention_mask=mask).last_hidden_state
    features = Pooling(states.shape[-1], mode)({"token_embeddings": states, "attention_mask": mask})
    for module in dense:
        features = module.double()(features)
    return [round(x, 9) for x in features["sentence_embedding"][0].tolist()]


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
