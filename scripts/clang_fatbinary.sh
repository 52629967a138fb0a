#!/bin/bash
# clang_fatbinary.sh ARGUMENT...: CUDA 13's fatbinary for clang 19, which calls one of CUDA 12, where an image is
# --image=profile=sm_80,file=FILE. Uncompressed, since drivers of CUDA 12 do not know how CUDA 13 compresses.
set -euo pipefail
toolkit=$(dirname "$(readlink --canonicalize "$0")")/../build/cuda-toolkit
exec "$toolkit/nvidia/cu13/bin/fatbinary" --compress=false "${@/#--image=profile=sm_/--image3=kind=elf,sm=}"
