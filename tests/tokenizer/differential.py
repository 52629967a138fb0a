#!/usr/bin/env python3
"""Compares sheaf's tokenizer with Hugging Face's `tokenizers`, text by text, until they differ.

Usage: differential.py TOKENIZER_IO TOKENIZER_JSON [--texts N] [--seed S] [--every-code-point STEP]
"""

import argparse
import codecs
import random
import struct
import subprocess
import sys

from tokenizers import Tokenizer

import texts

SPECIAL, LEFT = 1, 2
ENCODE, PLACES, DECODE, PAIR = 0, 1, 2, 3
# Token limits that are tried; 0 is none. BERT adds two special tokens, so 2 leaves no others.
LIMITS = [0, 0, 0, 2, 3, 5, 16, 128]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self):
        self.at += 4
        return struct.unpack_from("i", self.data, self.at - 4)[0]

    def numbers(self, count):
        self.at += 4 * count
        return list(struct.unpack_from(f"{count}i", self.data, self.at - 4 * count))

    def text(self):
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at]


def ask(program, tokenizer_json, records):
    """Runs records (kind, max_tokens, flags, bytes) through sheaf; gives their answers."""
    data = b"".join(struct.pack("4I", k, m, f, len(b)) + b for k, m, f, b in records)
    done = subprocess.run([program, tokenizer_json], input=data, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    reader = Reader(done.stdout)
    answers = []
    for kind, *_ in records:
        if kind == DECODE:
            answers.append((reader.number(), reader.text()))
            continue
        total = (reader.number(), reader.number()) if kind == PAIR else reader.number()
        count = reader.number()
        if kind in (ENCODE, PAIR):
            answers.append((total, reader.numbers(count)))
        else:
            answers.append([(*reader.numbers(4), reader.text()) for _ in range(count)])
    assert reader.at == len(done.stdout)
    return answers


def decode_text(data):
    """The text as Python reads it, and the byte offset of each of its characters and of its end."""
    starts = []
    broken = []

    def record(error):
        broken.append((error.start, error.end))
        return "\ufffd", error.end

    codecs.register_error("record", record)
    text = data.decode("utf-8", errors="record")
    assert text == data.decode("utf-8", errors="replace")
    at, gaps = 0, dict(broken)
    for char in text:
        starts.append(at)
        at = gaps[at] if at in gaps else at + len(char.encode())
    return text, starts + [at]


class Reference:
    """Hugging Face's tokenizer; one that cuts beside the whole one, so that no text sets both."""

    def __init__(self, path):
        self.whole, self.cut = Tokenizer.from_file(path), Tokenizer.from_file(path)
        for tokenizer in (self.whole, self.cut):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self.cut_at = None

    def get(self, limit, side):
        if not limit:
            return self.whole
        if self.cut_at != (limit, side):
            self.cut.enable_truncation(limit, direction=side)
            self.cut_at = limit, side
        return self.cut

    def encode(self, record, text):
        _, limit, flags, _ = record
        return self.get(limit, "left" if flags & LEFT else "right").encode(text, add_special_tokens=bool(flags & SPECIAL))


def check_encode(reference, record, answer):
    text, starts = decode_text(record[3])
    expected = reference.encode(record, text)
    if record[0] == ENCODE:
        total = len(reference.get(0, "right").encode(text, add_special_tokens=bool(record[2] & SPECIAL)).ids) if record[1] else len(expected.ids)
        return (total, expected.ids), answer
    places = [
        (i, s, *((-1, -1) if s else (starts[a], starts[b])), t.encode())
        for i, s, (a, b), t in zip(expected.ids, expected.special_tokens_mask, expected.offsets, expected.tokens)
    ]
    return places, answer


def check_decode(reference, record, answer):
    ids = list(struct.unpack(f"{len(record[3]) // 4}i", record[3]))
    text = reference.get(0, "right").decode(ids, skip_special_tokens=bool(record[2] & SPECIAL))
    return (1, text.encode()), answer


def pack_pair(first, second):
    return struct.pack("I", len(first)) + first + second


def unpack_pair(data):
    end = 4 + struct.unpack_from("I", data)[0]
    return data[4:end], data[end:]


def encode_pair(reference, record):
    """What Hugging Face makes of a pair, as the answer to the record."""
    _, limit, flags, data = record
    texts_ = [text.decode("utf-8", "replace") for text in unpack_pair(data)]
    side, special = "left" if flags & LEFT else "right", bool(flags & SPECIAL)
    whole = reference.get(0, "right")
    # A limit below the number of special tokens makes Hugging Face's overflow: cut these too, as for single texts.
    least = whole.num_special_tokens_to_add(True) if special else 0
    encoding = reference.get(max(limit, least) if limit else 0, side).encode(*texts_, add_special_tokens=special)
    kept = slice(-limit, None) if limit and side == "left" else slice(limit or None)
    ids, types = encoding.ids[kept], encoding.type_ids[kept]
    assert types == sorted(types) and set(types) <= {0, 1}
    # There is no way to say that all are of type 1; but with an empty first text that can only be.
    second_at = types.index(1) if 1 in types else 0
    total = len(whole.encode(*texts_, add_special_tokens=special).ids)
    return (total, second_at), ids


def check_pair(reference, record, answer):
    return encode_pair(reference, record), answer


CHECKS = {ENCODE: check_encode, PLACES: check_encode, DECODE: check_decode, PAIR: check_pair}


def compare(program, path, records):
    """Names the first record on which the two differ, or None."""
    reference = Reference(path)
    for start in range(0, len(records), 20_000):
        part = records[start : start + 20_000]
        for record, answer in zip(part, ask(program, path, part)):
            expected, answer = CHECKS[record[0]](reference, record, answer)
            if expected != answer:
                return f"{path}: {record}\n  Hugging Face: {expected}\n  sheaf:        {answer}"
    return None


def make_records(rng, generated, id_end, placed_share=0.15, decode_share=0.03):
    for data in generated:
        flags = rng.choice([0, SPECIAL, SPECIAL, SPECIAL]) | rng.choice([0, LEFT])
        limit = rng.choice(LIMITS)
        if limit == 0:
            flags &= ~LEFT
        yield (PLACES if rng.random() < placed_share else ENCODE), limit, flags, data
        if rng.random() < decode_share:
            ids = [rng.randrange(id_end) for _ in range(rng.randint(0, 30))]
            yield DECODE, 0, rng.choice([0, SPECIAL]), struct.pack(f"{len(ids)}i", *ids)


def records_for(path, seed, count, every_code_point=0):
    vocabulary = Tokenizer.from_file(path).get_vocab(with_added_tokens=True)
    words = sorted(token.removeprefix("##") for token in vocabulary)
    rng = random.Random(seed)
    ids = sorted(vocabulary.values())
    records = list(make_records(rng, texts.generate(seed, count, words), len(ids)))
    if every_code_point:
        records += make_records(rng, texts.every_code_point(every_code_point), len(ids), 0.02, 0)
    return records


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer_io")
    parser.add_argument("tokenizer_json")
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-code-point", type=int, default=0, metavar="STEP")
    options = parser.parse_args()
    records = records_for(options.tokenizer_json, options.seed, options.texts, options.every_code_point)
    difference = compare(options.tokenizer_io, options.tokenizer_json, records)
    if difference:
        sys.exit(difference)
    print(f"{len(records)} records alike, seed {options.seed}")


if __name__ == "__main__":
    main()
