"""Hugging Face's tokenizers over the lines of a file, once for every line read.

    python tokenizer_contender.py TOKENIZER_JSON TEXT_FILE IDS_FILE      (the same lines as tokenizer_io --time)
"""

import array
import json
import pathlib
import sys
import time

import tokenizers


def main():
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = pathlib.Path(sys.argv[2]).read_text().split("\n")[:-1]
    ids = array.array("i")
    for encoding in tokenizer.encode_batch_fast(lines):
        ids.extend(encoding.ids)
    pathlib.Path(sys.argv[3]).write_bytes(ids.tobytes())
    print(json.dumps({"version": tokenizers.__version__, "tokens": len(ids)}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        tokenizer.encode_batch_fast(lines)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
