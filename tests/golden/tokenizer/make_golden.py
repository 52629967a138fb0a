#!/usr/bin/env python3
"""Writes small.json, a little tokenizer with every kind of added token, and the answers of Hugging Face's
`tokenizers` for it (small_cases.json) and for all-MiniLM-L6-v2 (minilm_cases.json).

Usage: make_golden.py TOKENIZER_JSON_OF_MINILM
"""

import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tokenizer"))

import differential  # noqa: E402
import texts  # noqa: E402

SMALL_WORDS = "a b c d e f g h i o ö n s t u und the cat sat on mat ing un able 一 二 ᄀ ᅡ й и ß ! ? . , - ' 1 2".split()
SMALL_ADDED = [
    # content, special, single_word, lstrip, rstrip, normalized
    ("[PAD]", True, False, False, False, False),
    ("[UNK]", True, False, False, False, False),
    ("[CLS]", True, False, False, False, False),
    ("[SEP]", True, False, False, False, False),
    ("[MASK]", True, False, True, False, False),
    ("<Left>", False, False, True, False, False),
    ("<Right>", False, False, False, True, False),
    ("solo", False, True, False, False, False),
    ("Éclair", False, False, False, False, True),
    ("Two Words", False, True, True, True, True),
    ("soloist", False, False, False, False, False),
]


def small_tokenizer(**changes):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = special + SMALL_WORDS + ["##" + w for w in SMALL_WORDS if w.isalnum()]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    added = []
    for content, *flags in SMALL_ADDED:
        names = ("special", "single_word", "lstrip", "rstrip", "normalized")
        id_ = vocabulary.get(content, len(tokens) + sum(a["id"] >= len(tokens) for a in added))
        added.append({"id": id_, "content": content, **dict(zip(names, flags))})
    cls, sep, last = ({"SpecialToken": {"id": t, "type_id": i}} for t, i in (("[CLS]", 0), ("[SEP]", 0), ("[SEP]", 1)))
    a, b = ({"Sequence": {"id": s, "type_id": i}} for i, s in enumerate("AB"))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [cls, a, sep], "pair": [cls, a, sep, b, last],
            "special_tokens": {t: {"id": t, "ids": [vocabulary[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    } | changes


def words_of(tokenizer):
    glue = ["solo", "soloist", "a solo", "<Left>", "  <Left>", "<Right>  ", "éclair", "ÉCLAIR", "two words",
            " TWO WORDS ", "TWO  WORDS", "[MASK]", " [MASK] ", "xsolo", "solo.", "\u3000<Right>\u00a0"]
    return glue + [w.removeprefix("##") for w in tokenizer["model"]["vocab"]]


def cases(path, seed, count, words):
    reference = differential.Reference(str(path))
    rng = random.Random(seed)
    result = []
    for kind, limit, flags, data in differential.make_records(rng, texts.generate(seed, count, words), 1, 1.0, 0):
        text, starts = differential.decode_text(data)
        encoding = reference.encode((kind, limit, flags, data), text)
        total = len(reference.get(0, "right").encode(text, add_special_tokens=bool(flags & 1)).ids)
        places = [(-1, -1) if s else (starts[a], starts[b])
                  for s, (a, b) in zip(encoding.special_tokens_mask, encoding.offsets)]
        result.append({
            "hex": data.hex(), "special": bool(flags & 1), "left": bool(flags & 2), "limit": limit, "total": total,
            "ids": encoding.ids, "places": [p for place in places for p in place],
            "decoded": reference.get(0, "right").decode(encoding.ids, skip_special_tokens=True),
        })
    return result


def write(name, value):
    rows = ",\n".join(json.dumps(v, ensure_ascii=True, separators=(",", ":")) for v in value) if isinstance(value, list) else ""
    (HERE / name).write_text(f"[\n{rows}\n]\n" if rows else json.dumps(value, ensure_ascii=True, indent=1) + "\n")


def main():
    small = small_tokenizer()
    write("small.json", small)
    write("small_cases.json", cases(HERE / "small.json", 11, 400, words_of(small)))
    write("minilm_cases.json", cases(sys.argv[1], 12, 600, ["running", "tokenization", "un", "aff", "able", "2024"]))


if __name__ == "__main__":
    main()
