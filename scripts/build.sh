#!/bin/bash
# build.sh PRESET [TARGET...]: configures build/PRESET if need be and builds the targets (default: all).
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift

# The largest of our sources take about 1.5 GiB to compile; more at once than fit would swap.
cores=$(nproc)
fitting=$(awk '/^MemAvailable/ { print int($2 / 1500000) }' /proc/meminfo)
jobs=$((fitting < 1 ? 1 : fitting < cores ? fitting : cores))

# Without the library of tests there are none; by now it may be there.
if [ ! -f "build/$preset/build.ninja" ] || grep -q '^GTest_DIR.*NOTFOUND' "build/$preset/CMakeCache.txt"; then
  echo "Configuring build/$preset; the first build takes minutes" >&2
  mkdir -p "build/$preset"
  cmake --preset "$preset" >"build/$preset/configure.log" 2>&1 || { cat "build/$preset/configure.log" >&2; exit 1; }
fi
# Without a terminal ninja would print a line for every step.
[ -t 1 ] || export NINJA_STATUS="[%f/%t, %es] "
ninja -C "build/$preset" -j "$jobs" "$@" >&2
