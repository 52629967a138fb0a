#!/bin/bash
# package_cuda.sh [PRESET]: what sheaf's packages lack for cards, as sheaf-cuda_VERSION_ARCH.deb, and as
# sheaf-cuda-VERSION-linux-ARCH.tar.gz, to be unpacked where sheaf's is, in build/package: sheaf-replica-cuda of that build
# (cuda-release) and cuBLASLt, whose license lists it among what may be passed on (Attachment A) and goes with it.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-cuda-release}
scripts/setup.sh run package
scripts/setup_cuda.sh
scripts/build.sh "$preset" sheaf-replica-cuda

version=$(sed -n 's/^project(sheaf VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
architecture=$(dpkg --print-architecture)
name=sheaf-$version-linux-$(uname -m)
out=build/package
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
rm -f "$out"/sheaf-cuda*

license=$(echo build/cuda-toolkit/nvidia_cublas-*.dist-info/licenses/License.txt)
cmake --install "build/$preset" --component cuda --prefix "$work/$name" --strip >/dev/null
install -D -m 644 "$license" "$work/$name/share/doc/sheaf-cuda/copyright"
# Two thirds of cuBLASLt is left by any level, the highest of which take minutes.
tar --create --use-compress-program "gzip --fast" --owner=0 --group=0 --file "$out/sheaf-cuda-${name#sheaf-}.tar.gz" \
  --directory "$work" "$name"

mkdir -p "$work/deb/DEBIAN"
mv "$work/$name" "$work/deb/usr"
cat >"$work/deb/DEBIAN/control" <<END
Package: sheaf-cuda
Version: $version
Architecture: $architecture
Depends: sheaf (= $version)
Section: net
Maintainer: The sheaf developers <sheaf@localhost>
Installed-Size: $(du --summarize "$work/deb" | cut -f 1)
Description: sheaf's replica for NVIDIA cards
 With NVIDIA's cuBLASLt; the driver comes from elsewhere (\`sheaf slices check\`).
END
dpkg-deb --root-owner-group -Zgzip -z1 --build "$work/deb" "$out/sheaf-cuda_${version}_$architecture.deb" >/dev/null
ls -sh "$out"/sheaf-cuda*
