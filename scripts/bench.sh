#!/bin/bash
# bench.sh: measures a whole server on this machine; the result with commit and machine goes to docs/benchmarks/serve.json.
# bench_peers.sh measures the engine and the tokenizer against others.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/build.sh release all
model=$(scripts/get_model.sh --files)
mkdir -p docs/benchmarks
python3 bench/serve/run.py "${model#*=}"
