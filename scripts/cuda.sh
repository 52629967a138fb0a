#!/bin/bash
# cuda.sh: build/cuda/bin/sheaf-replica-cuda, for cards of compute capability 9.0; needs no card. Refuses kernels that
# spill registers, and writes what each takes to docs/benchmarks/cuda-kernels.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run test
scripts/setup_cuda.sh
scripts/build.sh cuda sheaf-replica-cuda card_parity_test

toolkit=build/cuda-toolkit/nvidia/cu13
table=docs/benchmarks/cuda-kernels.txt
python3 scripts/cuda_kernels.py "$toolkit" build/cuda/cuda/backend.cc.o >"$table.new"
mv "$table.new" "$table"
# Beside sheaf-replica, where `sheaf serve` looks for it.
mkdir -p build/release/bin
ln -sfn ../../cuda/bin/sheaf-replica-cuda build/release/bin/sheaf-replica-cuda
echo "build/cuda/bin/sheaf-replica-cuda; what kernels take: $table" >&2
