"""Makes tiny random encoders with the tokenizers of their families, and what sentence-transformers answers for texts.

    python make.py      (needs torch, transformers, sentence-transformers)

Writes texts.json, and for each family FAMILY/model/ (a model folder as the hub has them) and FAMILY/vectors.json
(normalized). The tokenizer.json of xlm_roberta is ../tokenizer/unigram.json: for its size it is not here twice.
"""

import json
import pathlib
import random
import shutil
import sys
import tempfile

import torch
import transformers
from sentence_transformers import SentenceTransformer

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tokenizer")]

import byte_level  # noqa: E402
import texts  # noqa: E402

UNIGRAM = HERE.parent / "tokenizer/unigram.json"
SENTENCES = [
    "a", "Hello, world!", "How do I reset my password?", "I've seen 'em; they'll do it, we'd say.", "  two  spaces   within ",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "\uff26\uff55\uff4c\uff4c\uff57\uff49\uff44\uff54\uff48 \ufb01 \u00bd \u2168",
    "e\u0301 combining, \u200bzero width, \ufeffmark, \u00a0hard space", "\U0001f469\u200d\U0001f469\u200d\U0001f467 family \U0001f600",
    "1234567890 3.14159 -273.15", "<mask> and </s> in a text", "x" * 300, "word " * 90,
]


def all_texts():
    rng = random.Random(11)
    random_ones = [t.decode("utf-8", "replace") for t in texts.generate(11, 60)]
    return SENTENCES + list(texts.PROSE.values()) + [t for t in random_ones if t.strip() and len(t) < 400] + \
        [" ".join(rng.choice(" ".join(texts.PROSE.values()).split()) for _ in range(n)) for n in (20, 45, 80)]


def xlm_roberta():
    tokenizer = json.loads(UNIGRAM.read_text())
    config = transformers.XLMRobertaConfig(
        vocab_size=len(tokenizer["model"]["vocab"]), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=40, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, initializer_range=0.3)
    return tokenizer, transformers.XLMRobertaModel(config, add_pooling_layer=False), "cls"


def roberta():
    tokenizer = byte_level.roberta(vocab_size=600)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer["model"]["vocab"]), hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=50, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, initializer_range=0.3)
    return tokenizer, transformers.RobertaModel(config, add_pooling_layer=False), "mean"


def write(path, value, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, **(how or {"separators": (",", ":")})) + "\n")


def write_model(folder, tokenizer, model, pooling):
    with torch.no_grad():
        for _, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)
    model.save_pretrained(folder, safe_serialization=True)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write(folder / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                    for i, (path, kind) in enumerate(kinds)])
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": model.config.hidden_size,
                                             f"pooling_mode_{pooling}_token{'s' * (pooling == 'mean')}": True})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "bos_token": "<s>", "cls_token": "<s>",
        "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"})
    write(folder / "tokenizer.json", tokenizer, ensure_ascii=False, separators=(",", ":"))


def vectors_of(folder, lines):
    """One text at a time, in double precision: neither padding nor rounding takes part."""
    model = SentenceTransformer(str(folder), device="cpu").double()
    rows = model.encode(lines, batch_size=1, convert_to_numpy=True)
    return [[round(float(x), 8) for x in row] for row in rows]


def main():
    lines = all_texts()
    write(HERE / "texts.json", lines, indent=0)
    for make in (xlm_roberta, roberta):
        torch.manual_seed(4)
        folder = HERE / make.__name__ / "model"
        with tempfile.TemporaryDirectory() as whole:
            write_model(pathlib.Path(whole), *make())
            write(folder.parent / "vectors.json", vectors_of(whole, lines))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
    (HERE / "xlm_roberta/model/tokenizer.json").unlink()


if __name__ == "__main__":
    main()
