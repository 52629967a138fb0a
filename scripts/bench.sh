#!/bin/bash
# bench.sh: measures on this machine; results with commit and machine go to docs/benchmarks/*.json.
# Where bench/peers/requirements.txt names them, the peers from PyPI are measured in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/build.sh release all
model=$(scripts/get_model.sh --files)
folder=${model#*=}
mkdir -p docs/benchmarks
python3 bench/serve/run.py "$folder"
peers=bench/peers/requirements.txt
if [ -f "$peers" ]; then
  scripts/venv.sh .venv-peers "$peers"
  .venv-peers/bin/python bench/peers/run.py build/release/bin/sheaf-engine-bench "$folder" --out docs/benchmarks/engine.json
fi
