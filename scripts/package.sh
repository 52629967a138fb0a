#!/bin/bash
# package.sh: build/package/sheaf_VERSION_ARCH.deb, and sheaf-VERSION-linux-ARCH.tar.gz, which brings its libraries
# and runs on any Linux with Debian 12's C library (2.36) or a newer one.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run package
scripts/build.sh release sheaf sheaf-replica

out=build/package
mkdir -p "$out"
rm -rf "$out"/*.deb "$out"/*.tar.gz "$out"/_CPack_Packages
(cd build/release && cpack -G DEB >"../package/cpack.log") || { cat "$out/cpack.log"; exit 1; }
rm -rf "$out"/_CPack_Packages

version=$(sed -n 's/^project(sheaf VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=sheaf-$version-linux-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install build/release --prefix "$work/$name" --strip >/dev/null

# All but the C library and the loader, which belong to the machine's kernel and to each other.
libraries=$work/$name/lib/sheaf
mkdir -p "$libraries"
ldd "$work/$name/bin/"* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so' |
  xargs -I{} cp --dereference {} "$libraries"
strip --strip-unneeded "$libraries"/*
tar --create --gzip --owner=0 --group=0 --file "$out/$name.tar.gz" --directory "$work" "$name"
ls -sh "$out"/*.deb "$out"/*.tar.gz
