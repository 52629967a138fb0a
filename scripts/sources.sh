#!/bin/bash
# sources.sh: our C++ and CUDA files, one a line.
set -euo pipefail
cd "$(dirname "$0")/.."
find src apps tests -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | sort
