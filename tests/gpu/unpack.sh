#!/usr/bin/env bash
# unpack.sh ARCHIVE DIR: unpacks what pack.sh packed so that CMake finds it wherever DIR is, and writes
# DIR/cache.cmake, which `cmake -C` reads. Programs that are linked with it find its libraries by
# themselves; nothing else of this machine sees them.
set -euo pipefail

if (($# != 2)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
rm -rf "$2"
mkdir -p "$2"
tar -C "$2" -xJf "$1"
root="$(cd "$2" && pwd)"
libraries="$root/usr/lib/x86_64-linux-gnu"

# The programs of the archive, with its libraries.
mkdir -p "$root/bin"
for program in pkgconf protoc grpc_cpp_plugin; do
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$root/usr/bin/$program" \
    >"$root/bin/$program"
  chmod +x "$root/bin/$program"
done
printf '#!/bin/sh\nPKG_CONFIG_LIBDIR="%s" exec "%s" "$@"\n' \
  "$libraries/pkgconfig:$root/usr/share/pkgconfig" "$root/bin/pkgconf" >"$root/bin/pkg-config"
chmod +x "$root/bin/pkg-config"
sed -i "s|^prefix *=.*|prefix=$root/usr|" "$libraries"/pkgconfig/*.pc

# Old dynamic tags: the libraries find each other by the program's path, too.
cat >"$root/cache.cmake" <<CMAKE
set(CMAKE_PREFIX_PATH "$root/usr" CACHE PATH "")
set(OPENSSL_ROOT_DIR "$root/usr" CACHE PATH "")
set(PKG_CONFIG_EXECUTABLE "$root/bin/pkg-config" CACHE FILEPATH "")
set(Protobuf_PROTOC_EXECUTABLE "$root/bin/protoc" CACHE FILEPATH "")
set(GRPC_CPP_PLUGIN "$root/bin/grpc_cpp_plugin" CACHE FILEPATH "")
set(CMAKE_EXE_LINKER_FLAGS "-L$libraries -Wl,--disable-new-dtags,-rpath,$libraries" CACHE STRING "")
CMAKE
