#!/usr/bin/env python3
"""Compares sheaf's pairs of texts with Hugging Face's, for every kind of post-processor.

Usage: pairs.py TOKENIZER_IO [--pairs N] [--seed S] [--minilm TOKENIZER_JSON]   (N pairs for each tokenizer)
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "golden/tokenizer")]

import byte_level  # noqa: E402
import differential  # noqa: E402
import make_golden  # noqa: E402
import texts  # noqa: E402
import unigram_variants  # noqa: E402

# Of a pair BERT's special tokens are three and RoBERTa's four: limits below, at and above these.
LIMITS = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 32, 33, 64, 128, 512]

BERT = {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]}
ROBERTA = BERT | {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def sequence(*processors):
    return {"type": "Sequence", "processors": list(processors)}


def special(name, type_id):
    return {"SpecialToken": {"id": name, "type_id": type_id}}


def text(name, type_id):
    return {"Sequence": {"id": name, "type_id": type_id}}


def random_template(rng):
    """Special tokens anywhere, each standing for up to three ids, and types that turn to 1 anywhere behind A."""
    names = {name: [rng.randrange(5) for _ in range(rng.choice([1, 1, 2, 3]))] for name in "xyz"}
    some = lambda: [rng.choice("xyz") for _ in range(rng.choice([0, 0, 1, 2, 3]))]
    before, behind = some(), [*some(), "B", *some()]
    border = rng.randint(0, len(behind))
    piece = lambda name, type_id: (text if name in "AB" else special)(name, type_id)
    pair = [piece(name, 0) for name in [*before, "A"]] + [piece(name, int(i >= border)) for i, name in enumerate(behind)]
    return {
        "type": "TemplateProcessing", "single": [text("A", 0)], "pair": pair,
        "special_tokens": {n: {"id": n, "ids": ids, "tokens": [f"<{n}>"] * len(ids)} for n, ids in names.items()},
    }


def small(processor):
    return make_golden.small_tokenizer(post_processor=processor)


def small_tokenizers(seed, templates):
    """Names and tokenizers, one for each kind of post-processor."""
    yield "small", make_golden.small_tokenizer()
    processors = {"none": None, "bert": BERT, "roberta": ROBERTA, "bytes": BYTES, "empty_sequence": sequence(),
                  "bytes_bert": sequence(BYTES, BERT), "roberta_bytes": sequence(ROBERTA, BYTES)}
    for name, processor in processors.items():
        yield name, small(processor)
    for i in range(templates):
        template = random_template(random.Random(f"{seed} {i}"))
        yield f"template {i}", small(sequence(BYTES, template) if i % 4 == 0 else template)


def tokenizers(seed, templates):
    yield from small_tokenizers(seed, templates)
    for kind, make in byte_level.KINDS.items():
        yield kind, make()
    for variant in unigram_variants.VARIANTS:
        yield variant, unigram_variants.tokenizer(variant)


def records(seed, count, words=()):
    rng = random.Random(seed)
    for first, second in zip(texts.generate(f"{seed} 1", count, words), texts.generate(f"{seed} 2", count + 1, words)):
        if rng.random() < 0.3:  # of about the same length
            first, second = (" ".join(rng.choices(["the", "cat", "sat", "é", "一"], k=rng.randint(0, 9))).encode() for _ in "AB")
        flags = rng.choice([0, differential.SPECIAL, differential.SPECIAL]) | rng.choice([0, differential.LEFT])
        yield differential.PAIR, rng.choice(LIMITS), flags, differential.pack_pair(first, second)


def difference(program, path, seed, count):
    """The first pair on which sheaf and Hugging Face differ, or None."""
    words = list(json.loads(pathlib.Path(path).read_text())["model"]["vocab"])
    words = [word if isinstance(word, str) else word[0] for word in words]
    return differential.compare(program, str(path), list(records(seed, count, words)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer_io")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minilm")
    options = parser.parse_args()
    compared = 0

    def compare(name, path):
        found = difference(options.tokenizer_io, path, f"{name} {options.seed}", options.pairs)
        if found:
            sys.exit(f"{name}: {found}")
        return options.pairs

    with tempfile.TemporaryDirectory() as folder:
        for name, tokenizer in tokenizers(options.seed, 40):
            path = pathlib.Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(tokenizer))
            compared += compare(name, path)
    if options.minilm:
        compared += compare("minilm", options.minilm)
    print(f"{compared} pairs alike, seed {options.seed}")


if __name__ == "__main__":
    main()
