#!/bin/bash
# package.sh: build/package/sheaf_VERSION_ARCH.deb, and sheaf-VERSION-linux-ARCH.tar.gz, which brings its libraries
# with their copyrights and runs on any Linux with Debian 12's C library (2.36) or a newer one.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run package
scripts/build.sh release sheaf sheaf-replica

out=build/package
mkdir -p "$out"
rm -rf "$out"/sheaf_*.deb "$out"/sheaf-[0-9]*.tar.gz "$out"/_CPack_Packages
(cd build/release && cpack -G DEB >"../package/cpack.log") || { cat "$out/cpack.log"; exit 1; }
rm -rf "$out"/_CPack_Packages

version=$(sed -n 's/^project(sheaf VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=sheaf-$version-linux-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install build/release --prefix "$work/$name" --strip >/dev/null

# All but the C library and the loader, which belong to the machine's kernel and to each other.
libraries=$work/$name/lib/sheaf
documents=$work/$name/share/doc/sheaf
mkdir -p "$libraries"
mapfile -t found < <(ldd "$work/$name/bin/"* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|ld-linux[^/]*)\.so')
cp --dereference "${found[@]}" "$libraries"
strip --strip-unneeded "$libraries"/*

# Who owns them, and the licenses that Debian's copyright files refer to. Some packages know a library below /lib only.
for library in "${found[@]}"; do
  real=$(readlink --canonicalize "$library")
  owner=$(dpkg-query --search "$real" 2>/dev/null || dpkg-query --search "${real#/usr}")
  cp --dereference "/usr/share/doc/${owner%%:*}/copyright" "$documents/licenses/${owner%%:*}"
done
grep --recursive --no-filename --only-matching '/usr/share/common-licenses/[A-Za-z0-9.-]*[A-Za-z0-9]' "$documents/licenses" |
  sort -u | while read -r license; do
    if [ -f "$license" ]; then cp --dereference "$license" "$documents/licenses"; fi
  done

# The archive works wherever it is unpacked, but a unit names the program by its whole path: here it is a sample.
sed "s,$work/$name,/opt/sheaf,g" "$work/$name/lib/systemd/system/sheaf.service" >"$documents/deploy/sheaf.service"
rm -r "$work/$name/lib/systemd"
tar --create --gzip --owner=0 --group=0 --file "$out/$name.tar.gz" --directory "$work" "$name"
ls -sh "$out"/sheaf_*.deb "$out/$name.tar.gz"
