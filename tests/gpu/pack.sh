#!/usr/bin/env bash
# Packs what a bare machine with a GPU lacks to build and test the CUDA backend and the servers: the
# libraries of deploy/local/packages.txt with what they need, protoc, gRPC's plugin and pkg-config,
# unpacked from the distribution's packages, as build/gpu/sysroot.tar.xz (some 15 MiB). Carry that file
# with the repository; run.sh beside this unpacks it. Needs apt and the network. Compilers, CMake, Ninja,
# Python and a C library that is no older are what the other machine has.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly GPU="$ROOT/build/gpu"
readonly LOG="$GPU/pack.log"
# It travels with the repository (34 MiB), in 64 MiB for both.
readonly MAX_KIB=$((28 * 1024))
# What is taken of the packages of packages.txt and of what they depend on.
readonly WANTED_NAMES="absl|grpc|protobuf|protoc|re2|c-ares|upb|ssl|nlohmann|spdlog|fmt|sentencepiece|prometheus-cpp|\
civetweb|curl4|gtest|gmock|benchmark|pkgconf|zlib1g"

fail() {
  printf 'error: %s; the whole log is %s\n' "$*" "$LOG" >&2
  exit 1
}

packages() {
  awk '!/^(#|$)/ { print $2 }' "$ROOT/deploy/local/packages.txt" |
    xargs apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
      --no-enhances |
    grep -E "^(lib)?($WANTED_NAMES)" | sort -u
}

# One folder for libraries and one for headers, no path of this machine in a link, and nothing that no
# build reads.
tidy() {
  local usr="$GPU/pack/usr" link
  local libraries="$usr/lib/x86_64-linux-gnu"
  if [[ -d "$GPU/pack/lib" ]]; then
    cp -a "$GPU/pack/lib/." "$usr/lib/"
  fi
  if [[ -d "$usr/include/x86_64-linux-gnu" ]]; then
    cp -a "$usr/include/x86_64-linux-gnu/." "$usr/include/"
    rm -r "$usr/include/x86_64-linux-gnu"
  fi
  find "$libraries" -type l -lname '/*' | while read -r link; do
    ln -sf "$(basename "$(readlink "$link")")" "$link"
  done
  # gRPC and most others are linked dynamically.
  rm -f "$libraries"/lib{grpc,grpc_unsecure,grpc++,grpc++_unsecure,grpc++_alts,protoc,protobuf-lite,crypto,ssl,curl}.a
  rm -f "$libraries"/lib{sentencepiece,sentencepiece_train,benchmark,re2,fmt,spdlog,cares,z,upb}.a
  rm -f "$libraries"/libgrpc_plugin_support.a "$libraries"/libgrpc*_unsecure.so*
  find "$usr/share" -mindepth 1 -maxdepth 1 ! -name cmake ! -name pkgconfig -exec rm -r {} +
  rm -rf "$usr/src" "$usr/lib/engines-3" "$usr/include/google/protobuf/compiler"
  [[ -z "$(find "$usr" -xtype l)" ]] || fail "links that lead nowhere: $(find "$usr" -xtype l | tr '\n' ' ')"
}

if (($# > 0)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  [[ "$1" == --help || "$1" == -h ]] && exit 0
  exit 2
fi
rm -rf "$GPU/packages" "$GPU/pack"
mkdir -p "$GPU/packages" "$GPU/pack"
: >"$LOG"
mapfile -t wanted < <(packages)
(cd "$GPU/packages" && apt-get -q -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=5 \
  download "${wanted[@]}") >>"$LOG" 2>&1 || fail "apt-get could not download ${wanted[*]}"
for package in "$GPU/packages"/*.deb; do
  dpkg-deb -x "$package" "$GPU/pack" >>"$LOG" 2>&1 || fail "could not unpack $package"
done
rm -rf "$GPU/packages"
tidy
tar -C "$GPU/pack" -cJf "$GPU/sysroot.tar.xz" usr
rm -rf "$GPU/pack"
size="$(du -k "$GPU/sysroot.tar.xz" | cut -f1)"
((size <= MAX_KIB)) || fail "expected at most $MAX_KIB KiB, packed $size KiB"
printf '%s: %d KiB of %s\n' "build/gpu/sysroot.tar.xz" "$size" "${wanted[*]}"
