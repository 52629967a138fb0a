#!/usr/bin/env python3
"""Writes byte_level.json, a little tokenizer with the pipeline of Qwen3, and the answers of Hugging Face's `tokenizers`
for it (byte_level_cases.json)."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tokenizer")]

import byte_level  # noqa: E402
import make_golden  # noqa: E402


def main():
    make_golden.write("byte_level.json", byte_level.qwen3(vocab_size=700))
    strewn = ["<|im_start|>", "<think>", "'s", "é", "e\u0301", " the", "\r\n", "12"]
    make_golden.write("byte_level_cases.json", make_golden.cases(HERE / "byte_level.json", 13, 300, strewn))


if __name__ == "__main__":
    main()
