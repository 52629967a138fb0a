#!/bin/bash
# venv.sh: sees that .venv holds exactly the pinned packages of tests/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/requirements.txt
if cmp --silent tests/requirements.txt "$stamp"; then exit 0; fi
echo "Making .venv with the test clients" >&2
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt >&2
cp tests/requirements.txt "$stamp"
