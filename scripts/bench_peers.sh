#!/bin/bash
# bench_peers.sh [STAGE...] [--threads N] [--rounds N] ...: sheaf and its peers from PyPI in turns on this machine, which
# should be idle; results go to docs/benchmarks/peers_STAGE.json. Stages and flags: bench/peers/run.py --help.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/build.sh release sheaf sheaf-replica sheaf-engine-bench tokenizer_io
model=$(scripts/get_model.sh --files)
# llama.cpp is compiled with the rest of the environment, once; its tools and the vision part are not used.
LLAVA_BUILD=OFF CMAKE_ARGS="-DLLAVA_BUILD=OFF" scripts/venv.sh .venv-peers bench/peers/requirements.txt
mkdir -p docs/benchmarks
exec .venv-peers/bin/python bench/peers/run.py --minilm "${model#*=}" "$@"
