#!/bin/bash
# differential.sh: the long form of the tokenizers' differential tests, 200,000 texts (TEXTS) with SEED (1) a kind of
# tokenizer against Hugging Face's; some minutes a kind. It ends at the first difference, which it prints.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/venv.sh .venv tests/requirements.txt --no-deps --no-compile
scripts/build.sh release tokenizer_io
model=$(scripts/get_model.sh --files)
python=.venv/bin/python program=build/release/bin/tokenizer_io
made=$(mktemp -d)
trap 'rm -r "$made"' EXIT
$python tests/tokenizer/byte_level.py "$made"
for tokenizer in "${model#*=}/tokenizer.json" "$made"/*.json; do
  echo "${tokenizer##*/}:"
  $python tests/tokenizer/differential.py $program "$tokenizer" --texts "${TEXTS:-200000}" --seed "${SEED:-1}"
done
$python tests/tokenizer/unigram_variants.py $program --texts "${TEXTS:-200000}" --seed "${SEED:-1}"
$python tests/tokenizer/pairs.py $program --pairs $((${TEXTS:-200000} / 10)) --seed "${SEED:-1}" \
  --minilm "${model#*=}/tokenizer.json"
