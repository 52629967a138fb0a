#!/bin/bash
# gpu_bundle.sh: build/gpu-bundle and build/gpu-bundle.tar.gz, what bench/gpu/run needs on a machine with a card: programs
# with their libraries, but for the C library, the driver and cuBLASLt, which PyTorch or a toolkit there brings. Runs on any
# Linux with Debian 12's C library (2.36) or a newer one.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=(sheaf sheaf-replica sheaf-replica-cuda sheaf-engine-bench-cuda card_parity_test card_engine_test)
scripts/setup.sh run test
scripts/setup_cuda.sh
scripts/build.sh cuda "${programs[@]}"

out=build/gpu-bundle
rm -rf "$out" "$out.tar.gz"
mkdir -p "$out/bin" "$out/lib" "$out/bench/peers" "$out/tests"
for program in "${programs[@]}"; do
  strip --strip-unneeded -o "$out/bin/$program" "build/cuda/bin/$program"
done
mapfile -t found < <(ldd "$out"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libcublasLt|ld-linux[^/]*)\.so')
cp --dereference "${found[@]}" "$out/lib"
strip --strip-unneeded "$out"/lib/*
cp -r bench/gpu "$out/bench"
cp bench/peers/{checkpoints,rounds,workload}.py "$out/bench/peers"
cp -r tests/golden "$out/tests"
find "$out" -name __pycache__ -prune -exec rm -r {} +
git rev-parse HEAD >"$out/commit"
[ -z "$(git status --porcelain)" ] || echo "and changes that are not committed" >>"$out/commit"
tar --create --gzip --owner=0 --group=0 --file "$out.tar.gz" --directory build gpu-bundle
ls -sh "$out.tar.gz" >&2
echo "there: tar xf gpu-bundle.tar.gz && gpu-bundle/bench/gpu/run all" >&2
