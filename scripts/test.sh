#!/bin/bash
# test.sh [PYTEST ARGUMENT...]: set-up, release build of everything, unit tests, then the tests through the outside
# (with arguments: those that they choose).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
environments() {  # these files name all that is needed: no search for versions, which takes pip a minute
  scripts/venv.sh .venv tests/requirements.txt --no-deps --no-compile
  scripts/venv.sh .venv-clients tests/clients/requirements.txt --no-deps --no-compile
}
environments &  # beside the build: half of it is waiting for packages
environments=$!
scripts/build.sh release all sheaf-replica-faulty sheaf-replica-emulated || { wait; exit 1; }
wait "$environments"
model=$(scripts/get_model.sh --files)
export SHEAF_TEST_MODEL=${model#*=}
export SHEAF_BIN_DIR=$PWD/build/release/bin
if [ "$#" -gt 0 ]; then
  ctest --test-dir build/release --no-tests=error --output-on-failure --parallel "$(nproc)"
  exec .venv/bin/python -m pytest -q tests "$@"
fi
# Clients of other packages and comparisons with other programs run beside unit and servers' tests, at a priority at which
# they take nothing from them.
beside() {
  local result=0
  .venv-clients/bin/python -m pytest -q tests/clients || result=$?
  .venv/bin/python -m pytest -q -n "$(nproc)" tests --ignore=tests/e2e || result=$?
  return "$result"
}
log=build/release/beside.log
set -m  # a process group of its own, so that all of it can be ended
(renice -n 19 "$BASHPID" >/dev/null && beside) >"$log" 2>&1 &
beside=$!
set +m
trap 'kill -- -"$beside"' EXIT
result=0
ctest --test-dir build/release --no-tests=error --output-on-failure --parallel "$(nproc)"
# These wait more than they compute: two at a time, those of a file by one worker, which share a server.
.venv/bin/python -m pytest -q -n 2 --dist loadfile tests/e2e || result=$?
wait "$beside" || result=$?
trap - EXIT
cat "$log"
exit "$result"
