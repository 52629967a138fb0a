#!/bin/bash
# setup_cuda.sh: sees that build/cuda-toolkit holds the packages of cuda_packages.txt, a CUDA 13 toolkit of 0.9 GB.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=scripts/cuda_packages.txt
folder=build/cuda-toolkit
cmp --silent "$packages" "$folder/packages.txt" && exit 0
echo "Getting a CUDA toolkit into $folder (0.6 GB to download)" >&2
scripts/setup.sh wheel
rm -rf "$folder"
python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --root-user-action ignore \
  --target "$folder" --requirement "$packages" >&2
cp "$packages" "$folder/packages.txt"
