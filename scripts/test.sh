#!/bin/bash
# test.sh [PYTEST ARGUMENT...]: set-up, release build of everything, unit tests, then the tests through the outside.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/venv.sh .venv tests/requirements.txt
scripts/build.sh release all sheaf-replica-faulty
model=$(scripts/get_model.sh --files)
export SHEAF_TEST_MODEL=${model#*=}
export SHEAF_BIN_DIR=$PWD/build/release/bin
ctest --test-dir build/release --output-on-failure --parallel "$(nproc)"
exec .venv/bin/python -m pytest -q tests "$@"
