#!/bin/bash
# setup_cuda.sh [12]: sees that build/cuda-toolkit holds the packages of cuda_packages.txt, a CUDA 13 toolkit of 0.9 GB; for 12
# that build/cuda-12-toolkit holds besides those of cuda_12_packages.txt, laid out as clang looks for them.
set -euo pipefail
cd "$(dirname "$0")/.."

# get PACKAGES FOLDER
get() {
  echo "Getting the packages of $1 into $2 (0.6 GB to download)" >&2
  scripts/setup.sh wheel
  rm -rf "$2"
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --root-user-action ignore \
    --target "$2" --requirement "$1" >&2
}

is_there() { cmp --silent "$1" "$2/packages.txt"; }

packages=scripts/cuda_packages.txt
folder=build/cuda-toolkit
if ! is_there "$packages" "$folder"; then
  get "$packages" "$folder"
  cp "$packages" "$folder/packages.txt"
fi
[ "${1:-}" = 12 ] || exit 0

packages=scripts/cuda_12_packages.txt
folder=build/cuda-12-toolkit
is_there "$packages" "$folder" && exit 0
get "$packages" "$folder.new"
rm -rf "$folder"
mkdir -p "$folder"
for part in cuda_nvcc cuda_runtime cuda_cccl cublas; do cp -rlf "$folder.new/nvidia/$part/." "$folder"; done
ln -s "$PWD/scripts/clang_fatbinary.sh" "$folder/bin/fatbinary"
rm -rf "$folder.new"
cp "$packages" "$folder/packages.txt"
