"""Full-size models with random weights, in the layout of the hub, made once on demand.

    python checkpoints.py NAME FOLDER      (needs torch, transformers; names: see SHAPES)

Speed depends on shapes alone. A table of words is only looked up, never multiplied, so those of BERT's kin have as many
rows as the small tokenizer that goes with them; Qwen3's is whole, since llama.cpp multiplies by it.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers

TOKENIZERS = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizer"
SPREAD = {"initializer_range": 0.02}


def bert(layers, hidden, heads):
    def build(vocab_size):
        return transformers.BertModel(transformers.BertConfig(
            **SPREAD, vocab_size=vocab_size, num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
            intermediate_size=4 * hidden, position_embedding_type="absolute"))
    return build


def xlm_roberta_config(vocab_size, layers):
    return transformers.XLMRobertaConfig(
        **SPREAD, vocab_size=vocab_size, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16,
        intermediate_size=4096, max_position_embeddings=8194, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
        num_labels=1, position_embedding_type="absolute")


def bge_m3(vocab_size):
    return transformers.XLMRobertaModel(xlm_roberta_config(vocab_size, 24), add_pooling_layer=False)


def bge_reranker(vocab_size, layers=24):
    return transformers.XLMRobertaForSequenceClassification(xlm_roberta_config(vocab_size, layers))


def bge_reranker_6(vocab_size):
    return bge_reranker(vocab_size, layers=6)


def deberta_v3(layers, hidden, heads):
    def build(vocab_size):
        return transformers.DebertaV2Model(transformers.DebertaV2Config(
            **SPREAD, vocab_size=vocab_size, num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
            intermediate_size=4 * hidden, max_position_embeddings=512, type_vocab_size=0, relative_attention=True,
            position_buckets=256, max_relative_positions=-1, share_att_key=True, norm_rel_ebd="layer_norm",
            position_biased_input=False, pos_att_type="p2c|c2p", layer_norm_eps=1e-7))
    return build


def qwen3(layers, hidden, heads, intermediate):
    def build(_):
        return transformers.Qwen3Model(transformers.Qwen3Config(
            **SPREAD, vocab_size=151669, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=8, head_dim=128, intermediate_size=intermediate, max_position_embeddings=32768,
            rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=True,
            pad_token_id=0))
    return build


# Name -> how it is made, its tokenizer, pooling (of a reranker none), and how weights are stored.
SHAPES = {
    "minilm-l6": (bert(6, 384, 12), "small", "mean", torch.float32),
    "bert-base": (bert(12, 768, 12), "small", "cls", torch.float32),
    "bert-large": (bert(24, 1024, 16), "small", "cls", torch.float32),
    "bge-m3": (bge_m3, "unigram", "cls", torch.float32),
    "bge-reranker-v2-m3": (bge_reranker, "unigram", None, torch.float32),
    "bge-reranker-v2-m3-6-layers": (bge_reranker_6, "unigram", None, torch.float32),
    "deberta-v3-base": (deberta_v3(12, 768, 12), "small", "cls", torch.float32),
    "deberta-v3-large": (deberta_v3(24, 1024, 16), "small", "cls", torch.float32),
    "qwen3-0.6b": (qwen3(28, 1024, 16, 3072), "byte_level", "lasttoken", torch.bfloat16),
    "qwen3-4b": (qwen3(36, 2560, 32, 9728), "byte_level", "lasttoken", torch.bfloat16),
}
SPECIAL = {
    "small": {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"},
    "unigram": {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>",
                "unk_token": "<unk>"},
    "byte_level": {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
}


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value) + "\n")


def words_of(tokenizer):
    vocab = tokenizer["model"]["vocab"]
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    return 1 + max([*ids, *(token["id"] for token in tokenizer["added_tokens"])])


@torch.no_grad()
def make(name, folder):
    build, tokenizer, pooling, dtype = SHAPES[name]
    torch.manual_seed(7)
    model = build(words_of(json.loads((TOKENIZERS / f"{tokenizer}.json").read_text()))).eval()
    for _, value in model.named_parameters():
        if value.dim() == 1:  # else all biases were 0, and a peer might gain by it
            value += 0.05 * torch.randn_like(value)
    model.to(dtype).save_pretrained(folder)
    shutil.copy(TOKENIZERS / f"{tokenizer}.json", folder / "tokenizer.json")
    write(folder / "tokenizer_config.json",
          {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512} | SPECIAL[tokenizer])
    if pooling:
        kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
        write(folder / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                        for i, (path, kind) in enumerate(kinds)])
        write(folder / "1_Pooling/config.json", {"word_embedding_dimension": model.config.hidden_size,
                                                 "pooling_mode": pooling})
    (folder / "made").touch()


def checkpoint(name, folder):
    """The folder of this shape below `folder`; the last file that is written says that it is whole."""
    path = folder / name
    if not (path / "made").exists():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        print(f"Making a random model of the shape of {name}", file=sys.stderr, flush=True)
        make(name, path)
    return path


if __name__ == "__main__":
    print(checkpoint(sys.argv[1], pathlib.Path(sys.argv[2])))
