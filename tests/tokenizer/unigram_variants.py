"""The pipelines around Unigram models that real tokenizer.json files have, and odd ones, as changes to
tests/golden/tokenizer/unigram.json.

Usage, to compare a variant on many texts: unigram_variants.py TOKENIZER_IO [--texts N] [--seed S] [VARIANT...]
"""

import argparse
import json
import pathlib
import random
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "golden/tokenizer")]

import differential  # noqa: E402
import texts  # noqa: E402
from charsmap import make_charsmap  # noqa: E402
from make_unigram import words_of  # noqa: E402

GOLDEN = json.loads((HERE.parent / "golden/tokenizer/unigram.json").read_text())
CHARSMAP = GOLDEN["normalizer"]
META = "\u2581"


def sequence(*parts, key="normalizers"):
    return {"type": "Sequence", key: list(parts)}


def replace(content, **pattern):
    return {"type": "Replace", "pattern": pattern, "content": content}


def strip(left, right):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def metaspace(**options):
    return {"type": "Metaspace", "replacement": META, **options}


def metaspaces(**options):
    return {"pre_tokenizer": metaspace(**options), "decoder": metaspace(**options)}


def with_bytes(model=GOLDEN["model"], missing=()):
    tokens = [[f"<0x{byte:02X}>", 0.0] for byte in range(256) if byte not in missing]
    return model | {"vocab": model["vocab"] + tokens, "byte_fallback": True}


def rescored(score):
    return GOLDEN["model"] | {"vocab": [[piece, score(i)] for i, (piece, _) in enumerate(GOLDEN["model"]["vocab"])]}


def deberta(normalizers, pre_tokenizers):
    """Of DeBERTa v3: names of its own for special tokens, [UNK] alone found in normalized text, a second type."""
    names = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = [[name, 0.0] for name in names] + GOLDEN["model"]["vocab"][4:-1] + [["[MASK]", 0.0]]
    added = [{"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": content == "[UNK]", "special": True}
             for i, (content, _) in enumerate(vocabulary) if i < 4 or content == "[MASK]"]
    special = lambda token, kind: {"SpecialToken": {"id": token, "type_id": kind}}
    a, b = ({"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB"))
    template = {"type": "TemplateProcessing", "single": [special("[CLS]", 0), a, special("[SEP]", 0)],
                "pair": [special("[CLS]", 0), a, special("[SEP]", 0), b, special("[SEP]", 1)],
                "special_tokens": {t: {"id": t, "ids": [names.index(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")}}
    return {"added_tokens": added, "normalizer": sequence(*normalizers), "post_processor": template,
            "pre_tokenizer": sequence(*pre_tokenizers, key="pretokenizers"),
            "model": GOLDEN["model"] | {"vocab": vocabulary, "unk_id": 3},
            "decoder": metaspace(prepend_scheme="always", split=True)}


RUNS = replace(" ", Regex=" {2,}")
WHITE = {"type": "WhitespaceSplit"}
LLAMA_DECODER = sequence(replace(" ", String=META), {"type": "ByteFallback"}, {"type": "Fuse"},
                         {"type": "Strip", "content": " ", "start": 1, "stop": 0}, key="decoders")
# Rules that grow, shrink, vanish, share beginnings, and hit every class of grapheme clusters.
ODD_RULES = {"a": "", "b": "xyz ", "E\u0301": "e", "E": "\u00e9\u00e9", "\u0301": "'", "\u200d": "-", "\u0915": "k", "\u1100": "g",
             "\u1161": "ab", "\r": "R", "\n": " ", "\u00a9": "c", "\U0001f600": ":-) ", "\u0600": "N", "e\u0301\u0302": "3", "0": "",
             "\u4e00": "", "\u3042": "a i", "\u00e9": "", "\u0e33": "am", "o\u200d": "", "\ufdfa": "salla allahu alayhi"}

VARIANTS = {
    "xlm_roberta": {},
    "xlm_roberta_old": {"pre_tokenizer": sequence(WHITE, metaspace(add_prefix_space=True), key="pretokenizers"),
                        "decoder": metaspace(add_prefix_space=True)},
    "bge_m3": {"normalizer": sequence(CHARSMAP, RUNS)},
    "gte": {"normalizer": sequence({"type": "Nmt"}, CHARSMAP, RUNS), **metaspaces(str_rep=META)},
    "t5": {"normalizer": sequence(CHARSMAP, strip(False, True), replace(META, Regex=" {2,}")),
           **metaspaces(prepend_scheme="always", split=True)},
    "first": metaspaces(prepend_scheme="first"),
    "first_in_sequence": {"pre_tokenizer": sequence(WHITE, metaspace(prepend_scheme="first"), key="pretokenizers"),
                          "normalizer": sequence(strip(True, True), CHARSMAP)},
    "first_unnormalized": {"normalizer": None, **metaspaces(prepend_scheme="first", split=False)},
    "never": metaspaces(prepend_scheme="never", add_prefix_space=False),
    "unsplit": metaspaces(split=False),
    "twice": {"pre_tokenizer": sequence(metaspace(), metaspace(prepend_scheme="never") | {"replacement": "e"}, WHITE,
                                        metaspace(split=False), key="pretokenizers")},
    "plus": {"pre_tokenizer": metaspace() | {"replacement": "+"}, "decoder": metaspace() | {"replacement": "+"}},
    "byte_fallback": {"model": with_bytes()},
    "byte_fallback_gaps": {"model": with_bytes(missing=(0xE4, 0xF0, 0x81))},
    "llama": {"model": with_bytes(), "pre_tokenizer": None, "decoder": LLAMA_DECODER,
              "normalizer": sequence({"type": "Prepend", "prepend": META}, replace(META, String=" "))},
    "gemma": {"model": with_bytes(), "pre_tokenizer": None, "normalizer": replace(META, String=" "),
              "decoder": sequence(replace(" ", String=META), {"type": "ByteFallback"}, {"type": "Fuse"}, key="decoders")},
    "odd_rules": {"normalizer": CHARSMAP | {"precompiled_charsmap": make_charsmap(ODD_RULES)}},
    "odd_sequence": {"normalizer": sequence(
        {"type": "Lowercase"}, sequence(strip(True, False), replace("", String="e")),
        CHARSMAP | {"precompiled_charsmap": make_charsmap(ODD_RULES)}, {"type": "Prepend", "prepend": "\u00e9! "},
        replace("ab\u4e8c", Regex="o+"), {"type": "Nmt"}, replace("-", Regex="\u0301{1,}"), strip(True, True))},
    # As transformers 4 converts them, the same with its two switches on, and as transformers 5 saves them.
    "deberta_v3": deberta([strip(True, True), CHARSMAP, RUNS], [metaspace(prepend_scheme="always", split=True)]),
    "deberta_v2_switches": deberta(
        [{"type": "Lowercase"}, strip(True, True), CHARSMAP, RUNS],
        [{"type": "Punctuation", "behavior": "Isolated"}, metaspace(prepend_scheme="always", split=True)]),
    "deberta_new": deberta([replace(" ", Regex=r"\s{2,}|[\n\r\t]"), {"type": "NFC"}, strip(False, True)],
                           [metaspace(prepend_scheme="always", split=True)]),
    "nothing": {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None},
    "ties": {"model": rescored(lambda i: -float(1 + i % 3))},
    "reversed": {"model": rescored(lambda i: 0.1 * (i % 7)) | {"unk_id": 40}},
}

# What tries these pipelines more than texts.py does.
GLUE = ["\u0301", "\u0915", "\u094d", "\u200d", "\u200c", "\u00a9", "\u00ae", "\u1100", "\u1161", "\u11a8", "\uac00", "\r", "\n", "\u0600",
        "\U0001f600", "\U0001f1e9", "\u0903", "e", "E", "a", "0", "\u4e00", "\u3042", " ", "  ", META, "\u0e33", "\ufdfa", "\x00", "\x01", "\xad",
        "+", "o", "b", "\u01c4", "\u00bd", "\uff76\uff9e", "\u0dcf", "\U00011d46", "\U000113d1", "\u3099"]


def tokenizer(name):
    return GOLDEN | VARIANTS[name]


def clusters(rng):
    """Short texts of characters that join others."""
    return "".join(rng.choice(GLUE) for _ in range(rng.randint(1, 12))).encode()


def records(name, seed, count):
    rng = random.Random(f"{name} {seed}")
    value = tokenizer(name)
    generated = (clusters(rng) if rng.random() < 0.25 else text
                 for text in texts.generate(f"{name} {seed}", count, words_of(value)))
    return list(differential.make_records(rng, generated, len(value["model"]["vocab"]), 0.3, 0.03))


def difference(program, folder, name, seed, count):
    """The first record on which sheaf and Hugging Face differ, or None."""
    path = pathlib.Path(folder) / f"{name}.json"
    path.write_text(json.dumps(tokenizer(name)))
    return differential.compare(program, str(path), records(name, seed, count))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer_io")
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.variants:
            found = difference(options.tokenizer_io, folder, name, options.seed, options.texts)
            if found:
                sys.exit(f"{name}: {found}")
            print(f"{name}: {options.texts} texts alike", flush=True)


if __name__ == "__main__":
    main()
