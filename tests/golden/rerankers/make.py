"""Makes a tiny random cross-encoder with a tokenizer, and what sentence-transformers answers for pairs.

    python make.py      (needs torch, transformers, sentence-transformers)

Writes bert/ (a model folder as the hub has them) and bert/scores.json (a pair's score, after the sigmoid).
"""

import json
import pathlib
import random
import sys

import torch
import transformers
from sentence_transformers import CrossEncoder

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tokenizer")]

import texts  # noqa: E402

TOKENIZER = HERE.parent / "tokenizer/small.json"
LENGTH = 48


def pairs():
    rng = random.Random(7)
    words = " ".join(texts.PROSE.values()).split()
    def some(count):
        return " ".join(rng.choice(words) for _ in range(count))
    # Short ones; one side cut; both cut; nothing in one or both.
    lengths = [(3, 5), (1, 9), (4, 70), (70, 4), (60, 60), (0, 6), (6, 0), (0, 0)]
    return [[some(a), some(b)] for a, b in lengths for _ in range(3)]


def main():
    torch.manual_seed(6)
    folder = HERE / "bert"
    tokenizer = json.loads(TOKENIZER.read_text())
    config = transformers.BertConfig(
        vocab_size=1 + max([*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])]),
        num_labels=1, hidden_size=24,
        num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=LENGTH,
        initializer_range=0.3)
    model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(folder)
    write(folder / "tokenizer.json", tokenizer)
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LENGTH, "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]})
    encoder = CrossEncoder(str(folder), device="cpu", max_length=LENGTH)
    encoder.model.double()
    rows = [{"pair": pair, "score": round(float(encoder.predict([pair])[0]), 8)} for pair in pairs()]
    write(folder / "scores.json", rows)


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
