#!/usr/bin/env python3
"""Writes pair_cases.json: pairs of texts as Hugging Face's `tokenizers` encodes them, for each tokenizer here as it
is, and for small.json with other post-processors."""

import itertools
import json
import pathlib
import random
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tokenizer")]

import differential  # noqa: E402
import make_golden  # noqa: E402
import pairs  # noqa: E402

BYTES_MAX = 120  # of a pair: a small file, and limits that are tried cut most
AS_THEY_ARE = ["small.json", "byte_level.json", "unigram.json"]


def cases(tokenizer, seed, count):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.json"
        path.write_text(json.dumps(tokenizer))
        reference = differential.Reference(str(path))
        short = (record for record in pairs.records(seed, count * 10) if len(record[3]) <= BYTES_MAX)
        for record in itertools.islice(short, count):
            _, limit, flags, data = record
            (total, second_at), ids = differential.encode_pair(reference, record)
            yield {
                "hex": [text.hex() for text in differential.unpack_pair(data)], "special": bool(flags & differential.SPECIAL),
                "left": bool(flags & differential.LEFT), "limit": limit, "total": total, "second_at": second_at, "ids": ids,
            }


def main():
    processors = {"none": None, "bert": pairs.BERT, "roberta": pairs.ROBERTA, "bytes": pairs.BYTES}
    processors |= {f"template {i}": pairs.random_template(random.Random(i)) for i in range(6)}
    groups = [{"file": name, "cases": list(cases(json.loads((HERE / name).read_text()), name, 80))} for name in AS_THEY_ARE]
    groups += [{"file": "small.json", "post_processor": processor, "cases": list(cases(pairs.small(processor), name, 40))}
               for name, processor in processors.items()]
    make_golden.write("pair_cases.json", groups)


if __name__ == "__main__":
    main()
