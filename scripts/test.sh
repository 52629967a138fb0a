#!/bin/bash
# test.sh [PYTEST ARGUMENT...]: set-up, release build of everything, unit tests, then the tests through the outside
# (with arguments: those that they choose).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/venv.sh .venv tests/requirements.txt
scripts/venv.sh .venv-clients tests/clients/requirements.txt
scripts/build.sh release all sheaf-replica-faulty
model=$(scripts/get_model.sh --files)
export SHEAF_TEST_MODEL=${model#*=}
export SHEAF_BIN_DIR=$PWD/build/release/bin
ctest --test-dir build/release --output-on-failure --parallel "$(nproc)"
[ "$#" -eq 0 ] || exec .venv/bin/python -m pytest -q tests "$@"
# Comparisons with other programs run beside the servers' tests, at a priority at which they take nothing from them.
others=build/release/comparisons.log
nice -n 19 .venv/bin/python -m pytest -q -n "$(nproc)" tests --ignore=tests/e2e >"$others" 2>&1 &
comparisons=$!
trap 'kill "$comparisons"' EXIT
result=0
.venv/bin/python -m pytest -q tests/e2e || result=$?
.venv-clients/bin/python -m pytest -q tests/clients || result=$?
wait "$comparisons" || result=$?
trap - EXIT
cat "$others"
exit "$result"
