#!/usr/bin/env python3
"""Writes unigram.json, a small tokenizer as XLM-RoBERTa has it, and the answers of Hugging Face's `tokenizers`
for it (unigram_cases.json). `sentencepiece` trains the pieces and gives its nmt_nfkc charsmap.

Usage: make_unigram.py, with a Python that has the `sentencepiece` and `tokenizers` wheels.
"""

import base64
import json
import pathlib
import random
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tokenizer"))

import make_golden  # noqa: E402
import texts  # noqa: E402

PIECES = 3000
MASK = "<mask>"


def training_texts(seed=5):
    """Sentences in many languages, their words shuffled so that pieces get varied scores, and some of any script."""
    rng = random.Random(seed)
    for _ in range(6000):
        words = rng.choice(list(texts.PROSE.values())).split()
        rng.shuffle(words)
        yield " ".join(words[: rng.randint(2, 12)])
        if rng.random() < 0.25:
            yield "".join(c for c in rng.choice([texts.one_script, texts.code])(rng) if c.isprintable())


def train():
    """The pieces with their scores and the charsmap."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as format

    with tempfile.TemporaryDirectory() as folder:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(training_texts()), model_prefix=f"{folder}/model", vocab_size=PIECES, model_type="unigram",
            normalization_rule_name="nmt_nfkc", character_coverage=0.98, num_threads=1, hard_vocab_limit=False,
            minloglevel=2)
        model = format.ModelProto.FromString(pathlib.Path(f"{folder}/model.model").read_bytes())
    pieces = [[piece.piece, piece.score] for piece in model.pieces]
    return pieces, base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def tokenizer(pieces, charsmap):
    vocabulary = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], *pieces[3:], [MASK, 0.0]]
    added = [{"id": i, "content": content, "single_word": False, "lstrip": content == MASK, "rstrip": False,
              "normalized": False, "special": True}
             for i, (content, _) in enumerate(vocabulary) if i < 4 or content == MASK]
    special = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
    a, b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("<s>"), a, special("</s>")],
            "pair": [special("<s>"), a, special("</s>"), special("</s>"), b, special("</s>")],
            "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (("<s>", 0), ("</s>", 2))},
        },
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": False},
    }


def words_of(tokenizer):
    glue = ["<mask>", "  <mask> ", "<s>", "</s>", "<unk>", "<pad>", "\u2581", " \u2581 ", "  ", "\u3000", "\r\n", "\u00a0"]
    return glue * 20 + [piece.replace("\u2581", " ") for piece, _ in tokenizer["model"]["vocab"]]


def main():
    value = tokenizer(*train())
    (HERE / "unigram.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    make_golden.write("unigram_cases.json", make_golden.cases(HERE / "unigram.json", 13, 500, words_of(value)))


if __name__ == "__main__":
    main()
