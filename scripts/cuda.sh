#!/bin/bash
# cuda.sh: build/cuda/bin/sheaf-replica-cuda, for cards of compute capability 9.0; needs no card. Refuses kernels that
# spill registers, and writes what each takes to docs/benchmarks/cuda-resources.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run
scripts/setup_cuda.sh
scripts/build.sh cuda sheaf-replica-cuda

toolkit=build/cuda-toolkit/nvidia/cu13
table=docs/benchmarks/cuda-resources.txt
{
  echo "Registers and bytes of stack a thread, by kernel: cuobjdump --dump-resource-usage, $(
    "$toolkit/bin/nvcc" --version | grep -o 'release.*'), sm_90a. No stack: nothing is spilled."
  "$toolkit/bin/cuobjdump" --dump-resource-usage build/cuda/cuda/backend.cc.o 2>/dev/null |
    sed -nE '/Function ([^:]+):/{s/.*Function ([^:]+):.*/\1/;h;}; /REG:/{G;s/.*REG:([0-9]+) STACK:([0-9]+).*\n(.*)/\1 \2 \3/p}' |
    c++filt | sed -E 's/sheaf::kernels::cuda:://g; s/^([0-9]+ [0-9]+) (void )?/\1 /; s/\(([A-Za-z]+Task).*$//' |
    awk '{ printf "%4d %4d  %s", $1, $2, $3; for (i = 4; i <= NF; ++i) printf " %s", $i; print "" }' | sort -k3
} >"$table"
if awk 'NR > 1 && $2 > 0 { print "spills registers: " $0; found = 1 } END { exit !found }' "$table" >&2; then exit 1; fi
echo "build/cuda/bin/sheaf-replica-cuda; what kernels take: $table" >&2
