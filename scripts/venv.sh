#!/bin/bash
# venv.sh FOLDER REQUIREMENTS [PIP ARGUMENT...]: sees that the Python environment in FOLDER holds the pinned packages.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
requirements=$2
shift 2
stamp=$venv/requirements.txt
if cmp --silent "$requirements" "$stamp"; then exit 0; fi
echo "Making $venv with the packages of $requirements" >&2
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$@" --requirement "$requirements" >&2
cp "$requirements" "$stamp"
