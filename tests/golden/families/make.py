"""Makes tiny random models of odd shapes and what transformers answers for them, a folder a family.

    python make.py [FAMILY...]      (needs torch, transformers, sentence-transformers)

Writes FAMILY/model/ (a model folder as the hub has them, without tokenizer), FAMILY/cases.json (token ids of each
text) and FAMILY/vectors.json ({pooling mode: [[floats]]}, not normalized).
"""

import json
import pathlib
import random
import sys
import tempfile

import long_bert
import safetensors.torch
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


def deberta():
    """As deberta-v3: shared projections, normalized position vectors, buckets; no other positions and no types."""
    config = transformers.DebertaV2Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=90, type_vocab_size=0, relative_attention=True, position_buckets=16,
        max_relative_positions=-1, share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False,
        pos_att_type="p2c|c2p", layer_norm_eps=1e-5)
    model = transformers.DebertaV2Model(config)
    torch.nn.init.normal_(model.encoder.rel_embeddings.weight, std=1.5)
    return model


def deberta_v2():
    """All that may be otherwise: layers of its own for positions, neither buckets nor a norm, distances cut at 7,
    positions and types in the embedding, an uneven number of heads; saved from within a classifier."""
    config = transformers.DebertaV2Config(
        **SHAPE, hidden_size=35, num_hidden_layers=3, num_attention_heads=7, intermediate_size=33,
        max_position_embeddings=40, type_vocab_size=2, relative_attention=True, max_relative_positions=7,
        position_biased_input=True, pos_att_type=["c2p", "p2c"], layer_norm_eps=1e-3)
    return transformers.DebertaV2ForSequenceClassification(config)


def deberta_keys():
    """One of the two terms; odd buckets."""
    config = transformers.DebertaV2Config(
        **SHAPE, hidden_size=20, num_hidden_layers=2, num_attention_heads=2, intermediate_size=30,
        max_position_embeddings=50, type_vocab_size=0, relative_attention=True, position_buckets=9,
        max_relative_positions=30, share_att_key=False, position_biased_input=False, pos_att_type=["c2p"])
    model = transformers.DebertaV2Model(config)
    torch.nn.init.normal_(model.encoder.rel_embeddings.weight, std=1.0)
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


def qwen3_yarn():
    """The ramp from the third pair to the sixth of eight."""
    scaling = {"rope_type": "yarn", "rope_theta": 20.0, "factor": 2.0, "beta_fast": 2,
               "original_max_position_embeddings": 32}
    config = transformers.Qwen3Config(
        **SHAPE, hidden_size=20, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        intermediate_size=30, max_position_embeddings=64, rope_parameters=scaling, attn_implementation="eager")
    return transformers.Qwen3Model(config)


def qwen2_yarn():
    """All that may be otherwise, in the form of older files; sees the whole text."""
    scaling = {"type": "yarn", "factor": 5.0, "original_max_position_embeddings": 16, "beta_fast": 1.2,
               "beta_slow": 0.2, "mscale": 0.7, "mscale_all_dim": 2.1, "truncate": False}
    config = transformers.Qwen2Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        intermediate_size=30, max_position_embeddings=40, is_causal=False, rope_theta=50.0, rope_scaling=scaling,
        attn_implementation="eager")
    return transformers.Qwen2Model(config)


def modernbert_yarn():
    """A scaling for either kind of layer."""
    scaling = {"full_attention": {"rope_type": "yarn", "rope_theta": 30.0, "factor": 2.0, "attention_factor": 1.4,
                                  "original_max_position_embeddings": 20},
               "sliding_attention": {"rope_type": "longrope", "rope_theta": 20.0, "short_factor": [1.0, 1.1, 1.5, 2.0],
                                     "long_factor": [1.2, 2.0, 3.0, 5.0], "factor": 2.0,
                                     "original_max_position_embeddings": 20}}
    config = transformers.ModernBertConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=18,
        max_position_embeddings=40, local_attention=8, global_attn_every_n_layers=2, rope_parameters=scaling,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attn_implementation="eager")
    return transformers.ModernBertModel(config)


def mistral_longrope():
    """With windows."""
    scaling = {"rope_type": "longrope", "rope_theta": 100.0, "short_factor": [1.0, 1.25, 2.0],
               "long_factor": [1.5, 3, 6.5], "factor": 4.0, "original_max_position_embeddings": 16}
    config = transformers.MistralConfig(
        **SHAPE, hidden_size=18, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1, head_dim=6,
        intermediate_size=33, max_position_embeddings=40, sliding_window=20, rope_parameters=scaling,
        attn_implementation="eager")
    return transformers.MistralModel(config)


def gte_longrope():
    scaling = {"rope_type": "longrope", "rope_theta": 50.0, "short_factor": [1.0, 1.5], "long_factor": [2.5, 4.0],
               "attention_factor": 0.8, "original_max_position_embeddings": 16}
    config = transformers.GteConfig(
        **SHAPE, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, intermediate_size=33,
        max_position_embeddings=40, type_vocab_size=1, rope_parameters=scaling, attn_implementation="eager")
    return transformers.GteModel(config)


def phi3():
    """As Phi-4-mini: longrope in the part of a head that turns."""
    scaling = {"type": "longrope", "short_factor": [1.0, 1.3, 1.7], "long_factor": [1.5, 2.5, 4.5]}
    config = transformers.Phi3Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        intermediate_size=33, max_position_embeddings=40, original_max_position_embeddings=16, rope_theta=100.0,
        partial_rotary_factor=0.75, rope_scaling=scaling, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        attn_implementation="eager")
    return transformers.Phi3ForCausalLM(config)


def phi3_windows():
    """As Phi-3-mini-4k: no scaling; a window. Half of a head turns."""
    config = transformers.Phi3Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
        intermediate_size=33, max_position_embeddings=29, sliding_window=6, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 200.0, "partial_rotary_factor": 0.5},
        attn_implementation="eager")
    return transformers.Phi3Model(config)


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


def nomic():
    """As transformers has it."""
    config = transformers.NomicBertConfig(
        **SHAPE, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, intermediate_size=27, layer_norm_eps=1e-4,
        max_position_embeddings=40, rope_parameters={"rope_type": "default", "rope_theta": 300.0},
        attn_implementation="eager")
    return transformers.NomicBertModel(config)


def own_nomic(**changes):
    config = {"model_type": "nomic_bert", "architectures": ["NomicBertModel"], "n_embd": 24, "n_layer": 2, "n_head": 3,
              "n_inner": 256, "n_positions": 40, "max_trained_positions": 2048, "layer_norm_epsilon": 1e-12,
              "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False,
              "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False,
              "rotary_emb_scale_base": None, "rotary_scaling_factor": None, "prenorm": False, "use_rms_norm": False,
              "causal": False, "type_vocab_size": 2, "vocab_size": SHAPE["vocab_size"], "pad_vocab_size_multiple": 1}
    return long_bert.Nomic(config | changes).spread()


def nomic_long():
    """As nomic-embed-text-v1.5 saves it, set up for texts longer than those it was trained on; all that may be
    otherwise: part of a head turns, biases, GELU gates, sizes that are rounded up."""
    return own_nomic(n_head=2, n_inner=100, rotary_emb_fraction=0.5, rotary_scaling_factor=2.0,
                     max_trained_positions=16, activation_function="geglu", qkv_proj_bias=True,
                     mlp_fc1_bias=True, mlp_fc2_bias=True, layer_norm_epsilon=1e-3, type_vocab_size=0,
                     pad_vocab_size_multiple=16)


def nomic_moe():
    """As nomic-embed-text-v2-moe: two of five experts in the second and fourth layer."""
    return own_nomic(n_layer=4, n_head=6, n_inner=22, activation_function="gelu", qkv_proj_bias=True, mlp_fc1_bias=True,
                     mlp_fc2_bias=True, rotary_emb_base=10000, type_vocab_size=1, layer_norm_epsilon=1e-5,
                     use_rms_norm=None, moe_every_n_layers=2, num_experts=5, moe_top_k=2, num_shared_experts=0,
                     moe_normalize_expert_weights=False, expert_choice_router=False)


def gte():
    """As transformers has it; saved from within a classifier."""
    config = transformers.GteConfig(
        **SHAPE, hidden_size=28, num_hidden_layers=2, num_attention_heads=7, intermediate_size=33, layer_norm_eps=1e-3,
        max_position_embeddings=29, type_vocab_size=2, rope_parameters={"rope_type": "default", "rope_theta": 200.0},
        attn_implementation="eager")
    return transformers.GteForTokenClassification(config)


def gte_new():
    """As gte-multilingual saves it, with scaling; no token types, as in gte-en-v1.5."""
    return long_bert.New({
        "model_type": "new", "architectures": ["NewModel"], "vocab_size": SHAPE["vocab_size"], "hidden_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 31, "max_position_embeddings": 29,
        "type_vocab_size": 0, "hidden_act": "gelu", "layer_norm_type": "layer_norm", "layer_norm_eps": 1e-5,
        "position_embedding_type": "rope", "rope_theta": 300.0, "rope_scaling": {"type": "ntk", "factor": 8.0},
        "pack_qkv": True, "logn_attention_scale": False, "logn_attention_clip1": False}).spread()


def own_jina(code=False, **changes):
    config = {"model_type": "bert", "architectures": ["JinaBertForMaskedLM"], "vocab_size": SHAPE["vocab_size"],
              "hidden_size": 30, "num_hidden_layers": 2, "num_attention_heads": 5, "intermediate_size": 21,
              "max_position_embeddings": 61, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
              "position_embedding_type": "alibi", "feed_forward_type": "geglu", "emb_pooler": "mean",
              "auto_map": {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"}}
    return long_bert.JinaBert(config | changes, code).spread()


def jina_bert():
    return own_jina()


def jina_bert_reglu():
    return own_jina(num_attention_heads=6, feed_forward_type="reglu", layer_norm_eps=1e-3)


def jina_code():
    """As jina-embeddings-v2-base-code: norms of queries and keys, and one more behind attention."""
    return own_jina(code=True, auto_map={"AutoModel": "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"})


def jina_v3():
    """As transformers has it."""
    config = transformers.JinaEmbeddingsV3Config(
        **SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=35, layer_norm_eps=1e-4,
        max_position_embeddings=29, rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        attn_implementation="eager")
    return transformers.JinaEmbeddingsV3Model(config, add_pooling_layer=False)


def jina_v3_own():
    """As jina-embeddings-v3 itself is saved."""
    return long_bert.JinaV3({
        "model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": SHAPE["vocab_size"],
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 35,
        "max_position_embeddings": 29, "type_vocab_size": 1, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        "pad_token_id": 1, "position_embedding_type": "rotary", "rotary_emb_base": 20000.0,
        "lora_adaptations": ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"],
        "lora_rank": 4, "lora_alpha": 1,
        "auto_map": {"AutoConfig": "jinaai/xlm-roberta-flash-implementation--"
                                   "configuration_xlm_roberta.XLMRobertaFlashConfig"}}).spread()


def check_long_bert():
    """The definitions in long_bert.py against transformers', on the weights that transformers saves."""
    for make, other, config in (
            (nomic, long_bert.Nomic, {"n_embd": 20, "n_layer": 2, "n_head": 5, "n_inner": 256, "vocab_size": 59,
                                      "pad_vocab_size_multiple": 1, "type_vocab_size": 2, "layer_norm_epsilon": 1e-4,
                                      "activation_function": "swiglu", "qkv_proj_bias": False, "mlp_fc1_bias": False,
                                      "mlp_fc2_bias": False, "rotary_emb_base": 300.0, "rotary_emb_fraction": 1.0,
                                      "rotary_scaling_factor": None}),
            (gte, long_bert.New, {"vocab_size": 59, "hidden_size": 28, "num_hidden_layers": 2, "num_attention_heads": 7,
                                  "intermediate_size": 33, "type_vocab_size": 2, "layer_norm_eps": 1e-3,
                                  "rope_theta": 200.0, "rope_scaling": None}),
            (jina_v3, long_bert.JinaXlmRoberta, {"vocab_size": 59, "hidden_size": 24, "num_hidden_layers": 2,
                                                 "num_attention_heads": 2, "intermediate_size": 35,
                                                 "type_vocab_size": 1, "layer_norm_eps": 1e-4,
                                                 "position_embedding_type": "rotary",
                                                 "rotary_emb_base": 500.0})):
        torch.manual_seed(3)
        whole = make().eval()
        body = getattr(whole, whole.base_model_prefix, whole)
        with tempfile.TemporaryDirectory() as folder:
            body.save_pretrained(folder)
            weights = safetensors.torch.load_file(pathlib.Path(folder) / "model.safetensors")
        if make is nomic:  # whose own code rounds the inner size up: with zeros nothing changes
            weights = {name: padded(name, value) for name, value in weights.items()}
        mine = other(config)
        mine.load_state_dict(weights)
        ids = torch.randint(4, 59, (1, 17))
        with torch.no_grad():
            difference = mine.double()(ids).last_hidden_state - body.double()(input_ids=ids).last_hidden_state
        assert difference.abs().max() < 1e-5, (make.__name__, difference.abs().max())


def padded(name, value):
    if "fc1" in name:
        return torch.nn.functional.pad(value, (0, 0, 0, 256 - len(value)))
    return torch.nn.functional.pad(value, (0, 256 - value.shape[1])) if "fc2" in name else value


FAMILIES = {make.__name__: make for make in (xlm_roberta, roberta, distilbert, mpnet, deberta, deberta_v2, deberta_keys, modernbert,
                                             modernbert_yarn, qwen3, qwen3_windows, qwen3_yarn, qwen2, qwen2_yarn,
                                             mistral, mistral_longrope, llama, phi3, phi3_windows, gemma3, gte_longrope,
                                             nomic, nomic_long, nomic_moe, gte, gte_new, jina_bert, jina_bert_reglu,
                                             jina_code, jina_v3, jina_v3_own)}
LENGTHS_OF = {
    "mpnet": [1, 2, 9, 40, 161],  # past the distance at which the last bucket begins
    "deberta": [1, 2, 8, 9, 10, 33, 90],  # past the single distances, to the last
    "deberta_v2": [1, 2, 7, 8, 9, 40],
    "deberta_keys": [1, 4, 5, 6, 29, 31, 50],
    "modernbert": [1, 3, 5, 9, 20, 47],  # past the windows
    "qwen3_windows": [1, 5, 6, 31],
    "mistral": [1, 7, 8, 40],
    "llama": [1, 2, 19, 50],
    # Up to the length it was trained on, and past it.
    "qwen3_yarn": [1, 5, 32, 33, 64],
    "qwen2_yarn": [1, 5, 16, 17, 40],
    "modernbert_yarn": [1, 5, 20, 21, 40],
    "mistral_longrope": [1, 5, 16, 17, 40],
    "gte_longrope": [1, 5, 16, 17, 40],
    "phi3": [1, 5, 16, 17, 40],
    "gemma3": [1, 4, 5, 9, 30],
    "nomic": [1, 2, 7, 40],
    "nomic_long": [1, 15, 16, 17, 40],  # past the length it was trained on
    "nomic_moe": [1, 2, 7, 40],
    "jina_bert": [1, 3, 17, 61],
    "jina_bert_reglu": [1, 3, 17, 61],
    "jina_code": [1, 3, 17, 61],
}
DTYPE_OF = {"qwen2": torch.bfloat16, "llama": torch.float16}  # as stored; else float32
DENSE_OF = {"gemma3": lambda: [Dense(24, 31, activation_function=torch.nn.Tanh()),
                               Dense(31, 9, bias=False, activation_function=torch.nn.Identity())]}
SHARD_OF = {"qwen3_windows": "9KB", "mistral": "5KB"}  # else one file


def main():
    check_long_bert()
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
