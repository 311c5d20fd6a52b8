#!/usr/bin/env bash
# Builds the CUDA backend's kernels on a machine with a GPU, offline, and tests and measures them:
#
#   tests/gpu/pack.sh        elsewhere, first: what this machine lacks, carried as build/gpu/sysroot.tar.xz
#   tests/gpu/run.sh [DIR]   here; writes results.json, results.md and logs to DIR (default:
#                            build/gpu/results)
#
# Needs CMake, Ninja, GCC 12 to 14, Python 3 and a CUDA toolkit (CUDA_HOME, nvcc on the PATH, or
# /usr/local/cuda). Without build/gpu/sysroot.tar.xz the system's Abseil and GoogleTest are used. Steps
# that this machine has no program for are left out and named in the results. A step that takes longer
# than STEP_TIMEOUT_SECONDS (default 120) is ended.
#
# Exit code 0 where every step passed or was left out.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly BUILD="$ROOT/build/gpu/build"
readonly SYSROOT="$ROOT/build/gpu/sysroot"
STEP_TIMEOUT_SECONDS="${STEP_TIMEOUT_SECONDS:-120}"

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
RESULTS="${1:-$ROOT/build/gpu/results}"
mkdir -p "$RESULTS"
RESULTS="$(cd "$RESULTS" && pwd)"
: >"$RESULTS/steps.tsv"

# record NAME RESULT SECONDS: a line for the report.
record() {
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$RESULTS/steps.tsv"
  printf '%-12s %s in %d s\n' "$1" "$2" "$3"
}

# step NAME COMMAND…: runs it with its output in NAME.log.
step() {
  local name="$1" started=$SECONDS code=0
  shift
  timeout --kill-after=10 "$STEP_TIMEOUT_SECONDS" "$@" >"$RESULTS/$name.log" 2>&1 || code=$?
  case "$code" in
    0) record "$name" passed "$((SECONDS - started))" ;;
    3) record "$name" "left out: no device" "$((SECONDS - started))" ;;
    124 | 137) record "$name" "FAILED: more than $STEP_TIMEOUT_SECONDS s" "$((SECONDS - started))" ;;
    *)
      record "$name" "FAILED: exit code $code" "$((SECONDS - started))"
      tail -n 15 "$RESULTS/$name.log" >&2
      ;;
  esac
  return "$code"
}

unpack_sysroot() {
  [[ -e "$ROOT/build/gpu/sysroot.tar.xz" ]] || return 0
  rm -rf "$SYSROOT"
  mkdir -p "$SYSROOT"
  tar -C "$SYSROOT" -xJf "$ROOT/build/gpu/sysroot.tar.xz"
}

# Machine code for the GPU that is here, such as 90-real; without one, what is shipped.
architectures() {
  local capability
  capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 |
    tr -d '. ')" || true
  [[ ! "$capability" =~ ^[0-9]+$ ]] || printf -- '-DCMAKE_CUDA_ARCHITECTURES=%s-real' "$capability"
}

build() {
  local options=(-S "$ROOT" -B "$BUILD" -G Ninja -DTRAMONTANE_KERNELS_ONLY=ON -DTRAMONTANE_CUDA=ON
    -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O3 -g1 -DNDEBUG"
    "-DCMAKE_CUDA_FLAGS_RELWITHDEBINFO=-O3 -lineinfo -DNDEBUG" "-DCMAKE_PREFIX_PATH=$SYSROOT/usr")
  local architecture
  architecture="$(architectures)"
  cmake "${options[@]}" ${architecture:+"$architecture"}
  ninja -C "$BUILD" cuda_kernels_test cuda_kernels_benchmark
}

# Reads and writes out of bounds over all tests; races in shared memory over a subset.
sanitize() {
  local tool="$1" filter="$2"
  compute-sanitizer --tool "$tool" --error-exitcode 1 "$BUILD/bin/cuda_kernels_test" \
    --gtest_brief=1 --gtest_filter="$filter"
}
export -f build sanitize architectures
export ROOT BUILD SYSROOT

failed=0
unpack_sysroot
nvidia-smi >"$RESULTS/nvidia-smi.log" 2>&1 || true
STEP_TIMEOUT_SECONDS=300 step build bash -euo pipefail -c build || failed=1
if ((failed == 0)); then
  step tests "$BUILD/bin/cuda_kernels_test" --gtest_brief=1 \
    --gtest_output="json:$RESULTS/tests.json" || failed=1
  step benchmark "$BUILD/bin/cuda_kernels_benchmark" --json="$RESULTS/benchmark.json" ||
    { (($? == 3)) || failed=1; }
  step peak python3 "$ROOT/tests/gpu/measure_peak.py" "$RESULTS/peak.json" ||
    { (($? == 3)) || failed=1; }
  if command -v compute-sanitizer >/dev/null; then
    step memcheck bash -c 'sanitize memcheck "*CudaProducts*:*CudaAttention*:*RmsNorm*:*Rope*:*Route*:*Combine*:*Embed*"' ||
      failed=1
    step racecheck bash -c 'sanitize racecheck "*CudaProducts*EqualTheReference*:*CudaAttention*MixedBatch*:*RmsNorm*Every*"' ||
      failed=1
  else
    record memcheck "left out: no compute-sanitizer" 0
  fi
fi
python3 "$ROOT/tests/gpu/report.py" "$RESULTS"
exit "$failed"
