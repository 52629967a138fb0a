#!/bin/bash
# setup.sh GROUP...: installs the Debian packages of these groups of packages.txt that are missing; says which.
set -euo pipefail
cd "$(dirname "$0")/.."

packages_of() {
  awk -v wanted=" $* " '
    /^\[/ { group = substr($1, 2, length($1) - 2); next }
    NF && !/^#/ && index(wanted, " " group " ") { print $1 }' scripts/packages.txt | sort -u
}

# Asking dpkg each time (some 30 ms) is always right; a stamp file would not be.
missing_of() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort -u)
  comm -23 <(packages_of "$@") <(printf '%s\n' "$installed")
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || { echo "Neither root nor sudo: please run as root: $*" >&2; exit 1; }
  sudo "$@"
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "Not a Debian system: please see that these are installed: $(packages_of "$@" | tr '\n' ' ')" >&2
  exit 0
fi

mapfile -t missing < <(missing_of "$@")
[ "${#missing[@]}" -gt 0 ] || exit 0
echo "Installing ${#missing[@]} Debian packages (log: .cache/setup.log): ${missing[*]}" >&2
mkdir -p .cache
quietly() { as_root env DEBIAN_FRONTEND=noninteractive "$@" >>.cache/setup.log 2>&1 || { tail -20 .cache/setup.log >&2; exit 1; }; }
quietly apt-get -q -o DPkg::Lock::Timeout=300 update
quietly apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
