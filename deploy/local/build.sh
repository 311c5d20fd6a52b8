#!/usr/bin/env bash
# build.sh PRESET [--tests] [TARGET…]: configures a CMake preset once and builds it in
# build/PRESET, all of it or the targets named. Nothing is done where nothing changed.
#
# Compiles as many files at once as there are cores, and no more than the memory holds
# (TRAMONTANE_BUILD_JOBS sets the number).
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# What a file that includes gRPC takes to compile.
readonly KIB_PER_JOB=1500000

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit "$1"
}

jobs() {
  local cores available by_memory
  cores="$(nproc)"
  available="$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
  by_memory=$((${available:-$KIB_PER_JOB} / KIB_PER_JOB))
  ((by_memory >= 1)) || by_memory=1
  printf '%d' "$((by_memory < cores ? by_memory : cores))"
}

(($# > 0)) || usage 2
[[ "$1" != --help && "$1" != -h ]] || usage 0
readonly PRESET="$1"
shift
with_tests=OFF
if [[ "${1:-}" == --tests ]]; then
  with_tests=ON
  shift
fi

cd "$ROOT"
readonly DIRECTORY="build/$PRESET"
# A build directory that has the tests keeps them; ninja itself configures again where a
# CMakeLists.txt changed.
configured="$(sed -n 's/^TRAMONTANE_BUILD_TESTS:BOOL=//p' "$DIRECTORY/CMakeCache.txt" 2>/dev/null || true)"
if [[ ! -e "$DIRECTORY/build.ninja" || (-z "$configured") || ("$with_tests" == ON && "$configured" != ON) ]]; then
  mkdir -p build
  printf 'Configuring %s\n' "$DIRECTORY"
  cmake --preset "$PRESET" -DTRAMONTANE_BUILD_TESTS="$with_tests" >"build/configure-$PRESET.log" 2>&1 || {
    tail -n 40 "build/configure-$PRESET.log" >&2
    printf 'error: cmake --preset %s failed; the whole log is %s/build/configure-%s.log\n' \
      "$PRESET" "$ROOT" "$PRESET" >&2
    exit 1
  }
fi
exec ninja -C "$DIRECTORY" -j "${TRAMONTANE_BUILD_JOBS:-$(jobs)}" "$@"
