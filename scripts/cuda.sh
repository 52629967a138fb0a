#!/bin/bash
# cuda.sh [release|12]: build/cuda/bin/sheaf-replica-cuda, for cards of compute capability 9.0, or build/cuda-release/bin's for
# all from 8.0 on, or build/cuda-12/bin's for drivers before 580; needs no card. Refuses kernels that spill registers on 9.0;
# what each takes there is written to docs/benchmarks/cuda-kernels.txt, of the last to cuda-12-kernels.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=cuda${1:+-$1}
toolkit=build/cuda-toolkit/nvidia/cu13
table=docs/benchmarks/cuda-kernels.txt
scripts/setup.sh run test
if [ "$preset" = cuda-12 ]; then
  scripts/setup.sh cuda-12
  scripts/setup_cuda.sh 12
  compiler="clang $(clang++-19 -dumpversion) with CUDA $(build/cuda-12-toolkit/bin/ptxas --version | sed -n 's/.* V//p')"
  table=docs/benchmarks/cuda-12-kernels.txt
else
  scripts/setup_cuda.sh
  compiler="CUDA $("$toolkit/bin/nvcc" --version | sed -n 's/.* V//p')"
fi
scripts/build.sh "$preset" sheaf-replica-cuda card_parity_test

python3 scripts/cuda_kernels.py "$toolkit/bin/cuobjdump" "build/$preset/cuda/backend.cc.o" "$compiler" >"$table.new"
mv "$table.new" "$table"
# Beside sheaf-replica, where `sheaf serve` looks for it.
mkdir -p build/release/bin
ln -sfn "../../$preset/bin/sheaf-replica-cuda" build/release/bin/sheaf-replica-cuda
echo "build/$preset/bin/sheaf-replica-cuda; what kernels take: $table" >&2
