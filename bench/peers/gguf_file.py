"""Writes a Qwen3, BERT or XLM-RoBERTa folder as GGUF, for llama.cpp: tensors under its names, no vocabulary.

llama.cpp's own converter is no part of any package. Names of tensors and fields are those of the package `gguf`.
"""

import json

import gguf
import numpy as np
import torch
from safetensors import safe_open

QWEN3 = {"embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
BERT = {"embeddings.word_embeddings": "token_embd", "embeddings.token_type_embeddings": "token_types",
        "embeddings.position_embeddings": "position_embd", "embeddings.LayerNorm": "token_embd_norm",
        "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
        "classifier.dense": "cls", "classifier.out_proj": "cls.output"}
PREFIXES = ("model.", "roberta.", "bert.")


def gguf_name(name, names):
    """None of a tensor that llama.cpp does not read, such as an unused pooler."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    stem, kind = name.rsplit(".", 1)
    parts = stem.removeprefix("encoder.").removeprefix("layers.").removeprefix("layer.").split(".", 1)
    if len(parts) == 2 and parts[0].isdigit():
        return f"blk.{parts[0]}.{names[parts[1]]}.{kind}" if parts[1] in names else None
    return f"{names[stem]}.{kind}" if stem in names else None


def write_fields(writer, config, pooling, words):
    is_qwen = config["model_type"] == "qwen3"
    offset = 2 if config["model_type"] == "xlm-roberta" else 0
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"] - offset)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_vocab_size(words)
    writer.add_tokenizer_model("no_vocab")
    writer.add_pooling_type(pooling)
    if is_qwen:
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
        writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    else:
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)
        writer.add_token_type_count(config["type_vocab_size"])
    return offset


def convert(folder, path, pooling, quantized=False, words=None):
    """`words`: only so many rows of the table of words. Tensors of one dimension stay F32 when the rest is Q8_0."""
    config = json.loads((folder / "config.json").read_text())
    is_qwen = config["model_type"] == "qwen3"
    writer = gguf.GGUFWriter(path, "qwen3" if is_qwen else "bert")
    words = words or config["vocab_size"]
    offset = write_fields(writer, config, gguf.PoolingType[pooling], words)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        for stored in weights.keys():
            name = gguf_name(stored, QWEN3 if is_qwen else BERT)
            if name is None:
                continue
            value = weights.get_tensor(stored).to(torch.float32).numpy()
            if name == "token_embd.weight":
                value = value[:words]
            if name == "position_embd.weight":
                value = np.ascontiguousarray(value[offset:])
            kind = gguf.GGMLQuantizationType.Q8_0 if quantized and value.ndim == 2 and "token_types" not in name and (
                "position" not in name) else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
