#!/bin/bash
# cuda.sh [release]: build/cuda/bin/sheaf-replica-cuda, for cards of compute capability 9.0, or build/cuda-release/bin's for
# all from 8.0 on; needs no card. Refuses kernels that spill registers on 9.0; what each takes there is written to
# docs/benchmarks/cuda-kernels.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=cuda${1:+-$1}
scripts/setup.sh run test
scripts/setup_cuda.sh
scripts/build.sh "$preset" sheaf-replica-cuda card_parity_test

toolkit=build/cuda-toolkit/nvidia/cu13
table=docs/benchmarks/cuda-kernels.txt
python3 scripts/cuda_kernels.py "$toolkit" "build/$preset/cuda/backend.cc.o" >"$table.new"
mv "$table.new" "$table"
# Beside sheaf-replica, where `sheaf serve` looks for it.
mkdir -p build/release/bin
ln -sfn "../../$preset/bin/sheaf-replica-cuda" build/release/bin/sheaf-replica-cuda
echo "build/$preset/bin/sheaf-replica-cuda; what kernels take: $table" >&2
