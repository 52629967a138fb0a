"""Makes a tiny random encoder whose pooling leaves prompts out, and what sentence-transformers answers for texts.

    python make.py      (needs torch, transformers, sentence-transformers)

Writes model/ (a model folder as the hub has them), texts.json, cases.json (of each prompt, "" for none: the ids of each
text and how many of them are the prompt's) and vectors.json ({pooling mode: {prompt: [[floats]]}}, not normalized).
"""

import json
import pathlib

import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

HERE = pathlib.Path(__file__).resolve().parent
TOKENIZER = json.loads((HERE.parent / "tokenizer/small.json").read_text())
LENGTH = 24
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken", ["cls", "mean"]]
PROMPTS = {"query": "what text is about: ", "passage": "the "}
TEXTS = ["a", "", "the cat", "How do I reset my password?", "word " * 40]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def model(folder):
    config = transformers.BertConfig(
        vocab_size=max([*TOKENIZER["model"]["vocab"].values(), *(t["id"] for t in TOKENIZER["added_tokens"])]) + 1,
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=LENGTH, initializer_range=0.3)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    write(folder / "tokenizer.json", TOKENIZER)
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LENGTH, "pad_token": "[PAD]",
        "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    write(folder / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                    for i, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])])
    write(folder / "1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "include_prompt": False})
    write(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})


def encoder(folder, mode):
    transformer = Transformer(str(folder), max_seq_length=LENGTH)
    pooling = Pooling(transformer.get_embedding_dimension(), mode, include_prompt=False)
    return SentenceTransformer(modules=[transformer, pooling], device="cpu", prompts=PROMPTS).double()


def case(transformer, text, prompt):
    features = transformer.preprocess([text], prompt=prompt)
    return {"ids": features["input_ids"][0].tolist(), "prompt_tokens": int(features.get("prompt_length", 0))}


def main():
    torch.manual_seed(6)
    folder = HERE / "model"
    model(folder)
    write(HERE / "texts.json", TEXTS)
    prompts = {"": None} | PROMPTS
    vectors = {}
    for mode in MODES:
        made = encoder(folder, mode)
        name = mode if isinstance(mode, str) else "+".join(mode)
        vectors[name] = {prompt: [[round(x, 9) for x in made.encode(text, prompt=words, convert_to_tensor=True).tolist()]
                                  for text in TEXTS] for prompt, words in prompts.items()}
    write(HERE / "cases.json", {prompt: [case(made[0], text, words) for text in TEXTS] for prompt, words in prompts.items()})
    write(HERE / "vectors.json", vectors)


if __name__ == "__main__":
    main()
