"""Makes a tiny random BERT of odd shapes and what transformers and sentence-transformers answer for it.

    python make.py      (needs torch, transformers, sentence-transformers)

Writes model/ (a model folder as the hub has them, without tokenizer), cases.json (token ids of each text) and
vectors.json ({pooling mode: [[floats]]}, not normalized).
"""

import json
import pathlib
import random

import torch
from sentence_transformers.sentence_transformer.modules.pooling import Pooling
from transformers import BertConfig, BertModel

LENGTHS = [1, 2, 3, 7, 16, 17, 31, 33]
HIDDEN = 36  # three heads of 12; no multiple of a vector's width


def main():
    here = pathlib.Path(__file__).parent
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=61,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=70,
        max_position_embeddings=33,
        type_vocab_size=2,
        initializer_range=0.3,  # far from the linear part of softmax and GELU
    )
    model = BertModel(config, add_pooling_layer=True).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)

    folder = here / "model"
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ])
    write(folder / "1_Pooling" / "config.json",
          {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False})

    rng = random.Random(5)
    cases = [[rng.randrange(config.vocab_size) for _ in range(n)] for n in LENGTHS]
    vectors = {}
    for mode in Pooling.POOLING_MODES:
        vectors[mode] = [pooled(model, mode, ids) for ids in cases]
    write(here / "cases.json", cases)
    write(here / "vectors.json", vectors)


@torch.no_grad()
def pooled(model, mode, ids):
    states = model.double()(input_ids=torch.tensor([ids])).last_hidden_state
    features = {"token_embeddings": states, "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
    return [round(x, 9) for x in Pooling(HIDDEN, mode)(features)["sentence_embedding"][0].tolist()]


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
