#!/bin/bash
# soak.sh: the long forms of what `make test` does in short: 200 replicas killed under load, and many more seeds of the
# core's simulation. SEEDS (20000): how many.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/venv.sh .venv tests/requirements.txt --no-deps --no-compile
scripts/build.sh release all sheaf-replica-faulty
model=$(scripts/get_model.sh --files)
export SHEAF_TEST_MODEL=${model#*=}
export SHEAF_BIN_DIR=$PWD/build/release/bin
SHEAF_SIM_SEEDS=${SEEDS:-20000} build/release/bin/core_simulation_test --gtest_filter='Simulation.*'
SHEAF_SOAK=1 .venv/bin/python -m pytest -q -s tests/e2e/test_faults.py -k many_kills "$@"
