#!/bin/bash
# run.sh [FLAG...]: from a fresh clone to a running server of the default model; flags go to `sheaf serve`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run
scripts/build.sh release sheaf sheaf-replica
model=$(scripts/get_model.sh)
exec build/release/bin/sheaf serve "$model" --num-replicas 2 "$@"
