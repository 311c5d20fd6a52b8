#!/usr/bin/env bash
# Packs what a bare machine with a GPU lacks to build and test the CUDA backend's kernels: the
# distribution's Abseil and GoogleTest, unpacked from their packages, as build/gpu/sysroot.tar.xz (a few
# MB). Carry that file with the repository; run.sh beside this unpacks it. Needs apt and the network.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly GPU="$ROOT/build/gpu"
readonly LOG="$GPU/pack.log"
# What tests/gpu/run.sh is meant to travel with: the repository and this, 64 MiB in all.
readonly MAX_KIB=$((48 * 1024))

fail() {
  printf 'error: %s; the whole log is %s\n' "$*" "$LOG" >&2
  exit 1
}

# The development packages, and the library packages of the same sources that they depend on.
packages() {
  local package
  for package in libabsl-dev libgtest-dev libgmock-dev; do
    printf '%s\n' "$package"
  done
  apt-cache depends --no-recommends --no-suggests libabsl-dev |
    sed -n 's/^ *Depends: \(libabsl[0-9a-z]*\)$/\1/p'
}

if (($# > 0)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  [[ "$1" == --help || "$1" == -h ]] && exit 0
  exit 2
fi
rm -rf "$GPU/packages" "$GPU/pack"
mkdir -p "$GPU/packages" "$GPU/pack"
: >"$LOG"
mapfile -t wanted < <(packages | sort -u)
(cd "$GPU/packages" && apt-get -q -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=5 \
  download "${wanted[@]}") >>"$LOG" 2>&1 || fail "apt-get could not download ${wanted[*]}"
for package in "$GPU/packages"/*.deb; do
  dpkg-deb -x "$package" "$GPU/pack" >>"$LOG" 2>&1 || fail "could not unpack $package"
done
rm -rf "$GPU/pack/usr/share/doc" "$GPU/pack/usr/src" "$GPU/packages"
tar -C "$GPU/pack" -cJf "$GPU/sysroot.tar.xz" usr
rm -rf "$GPU/pack"
size="$(du -k "$GPU/sysroot.tar.xz" | cut -f1)"
((size <= MAX_KIB)) || fail "expected at most $MAX_KIB KiB, packed $size KiB"
printf '%s: %d KiB of %s\n' "build/gpu/sysroot.tar.xz" "$size" "${wanted[*]}"
