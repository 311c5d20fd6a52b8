#!/usr/bin/env bash
# Builds the CUDA backend and the servers on a machine with a GPU, offline, and tests and measures them:
#
#   tests/gpu/pack.sh        elsewhere, first: what this machine lacks, carried as build/gpu/sysroot.tar.xz
#   tests/gpu/run.sh [DIR]   here; writes results.json, results.md and logs to DIR (default:
#                            build/gpu/results)
#
# The kernels' tests and benchmarks come first, then the servers: the golden checkpoints of tests/golden in
# one process and over gRPC, all on the one GPU.
#
# Needs CMake, Ninja, GCC 12 to 14, Python 3.11 or later and a CUDA toolkit (CUDA_HOME, nvcc on the PATH, or
# /usr/local/cuda). Without build/gpu/sysroot.tar.xz the system's libraries are used, and where gRPC is not
# among them the servers are left out. Steps that this machine has no program or no device for are left out
# and named in the results. A step that takes longer than STEP_TIMEOUT_SECONDS (default 120), or a build
# that takes longer than BUILD_TIMEOUT_SECONDS (default 420), is ended.
#
# Exit code 0 where every step passed or was left out.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly BUILD="$ROOT/build/gpu/build"
readonly SYSROOT="$ROOT/build/gpu/sysroot"
STEP_TIMEOUT_SECONDS="${STEP_TIMEOUT_SECONDS:-120}"
BUILD_TIMEOUT_SECONDS="${BUILD_TIMEOUT_SECONDS:-420}"

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
  "$ROOT/tests/gpu/unpack.sh" "$ROOT/build/gpu/sysroot.tar.xz" "$SYSROOT"
}

has_grpc() {
  [[ -e "$SYSROOT/usr/include/grpcpp/grpcpp.h" || -e /usr/include/grpcpp/grpcpp.h ]]
}

has_device() {
  nvidia-smi -L 2>/dev/null | grep -q '^GPU '
}

# Machine code for the GPU that is here, such as 90-real; without one, what is shipped.
architectures() {
  local capability
  capability="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 |
    tr -d '. ')" || true
  [[ ! "$capability" =~ ^[0-9]+$ ]] || printf -- '-DCMAKE_CUDA_ARCHITECTURES=%s-real' "$capability"
}

# configure ON|OFF: ON for the kernels alone.
configure() {
  local options=(-S "$ROOT" -B "$BUILD" -G Ninja -DTRAMONTANE_CUDA=ON "-DTRAMONTANE_KERNELS_ONLY=$1"
    -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O3 -DNDEBUG"
    "-DCMAKE_CUDA_FLAGS_RELWITHDEBINFO=-O3 -lineinfo -DNDEBUG" "-DPython3_EXECUTABLE=$(command -v python3)")
  local architecture
  [[ ! -e "$SYSROOT/cache.cmake" ]] || options=(-C "$SYSROOT/cache.cmake" "${options[@]}")
  architecture="$(architectures)"
  cmake "${options[@]}" ${architecture:+"$architecture"}
}

build_kernels() {
  ninja -C "$BUILD" cuda_kernels_test cuda_kernels_benchmark
}

build_servers() {
  ninja -C "$BUILD" coordinator expert_worker attention_worker generate tramontanectl integration_test \
    device_test golden_f32_test golden_bf16_test equality_test
}

# Reads and writes out of bounds over all tests; races in shared memory over a subset.
sanitize() {
  local tool="$1" filter="$2"
  compute-sanitizer --tool "$tool" --error-exitcode 1 "$BUILD/bin/cuda_kernels_test" \
    --gtest_brief=1 --gtest_filter="$filter"
}
export -f configure build_kernels build_servers sanitize architectures
export ROOT BUILD SYSROOT

failed=0
# try NAME COMMAND…: a step whose device may lack.
try() {
  step "$@" || { (($? == 3)) || failed=1; }
}

# on_device NAME COMMAND…: a step that needs a GPU and does not ask for one itself.
on_device() {
  if has_device; then
    try "$@"
  else
    record "$1" "left out: no device" 0
  fi
}

test_kernels() {
  try tests "$BUILD/bin/cuda_kernels_test" --gtest_brief=1 --gtest_output="json:$RESULTS/tests.json"
  try benchmark "$BUILD/bin/cuda_kernels_benchmark" --json="$RESULTS/benchmark.json"
  try peak python3 "$ROOT/tests/gpu/measure_peak.py" "$RESULTS/peak.json"
}

sanitize_kernels() {
  if ! command -v compute-sanitizer >/dev/null; then
    record memcheck "left out: no compute-sanitizer" 0
    record racecheck "left out: no compute-sanitizer" 0
    return
  fi
  on_device memcheck bash -c 'sanitize memcheck "*CudaProducts*:*CudaAttention*:*RmsNorm*:*Rope*:*Route*:*Combine*:*Embed*"'
  on_device racecheck bash -c 'sanitize racecheck "*CudaProducts*EqualTheReference*:*CudaAttention*MixedBatch*:*RmsNorm*Every*"'
}

test_servers() {
  # The same programs on the CPU: what fails here has nothing to do with the GPU.
  try golden_cpu python3 -B "$ROOT/tests/gpu/golden_tokens.py" "$BUILD/bin" cpu
  on_device golden_cuda python3 -B "$ROOT/tests/gpu/golden_tokens.py" "$BUILD/bin" cuda:0
  on_device device "$BUILD/bin/device_test" --gtest_brief=1
  # Tests that start servers, or a model, on a device that is named do so on this one.
  export TRAMONTANE_TEST_DEVICE=cuda:0
  local test
  for test in golden_f32 golden_bf16 equality; do
    on_device "$test" "$BUILD/bin/${test}_test" --gtest_brief=1
  done
  STEP_TIMEOUT_SECONDS=300 on_device integration "$BUILD/bin/integration_test" --gtest_brief=1 \
    --gtest_filter='*GoldenApiTest*:*EqualityTest*'
}

unpack_sysroot
nvidia-smi >"$RESULTS/nvidia-smi.log" 2>&1 || true
servers=no
if has_grpc; then
  servers=yes
  step configure bash -euo pipefail -c 'configure OFF' || { failed=1 servers=no; }
fi
if [[ "$servers" == no ]]; then
  rm -rf "$BUILD"
  step kernels_only bash -euo pipefail -c 'configure ON' || failed=1
fi
if STEP_TIMEOUT_SECONDS="$BUILD_TIMEOUT_SECONDS" step build bash -euo pipefail -c build_kernels; then
  test_kernels
  # Should this be ended before it is through.
  python3 "$ROOT/tests/gpu/report.py" "$RESULTS" >/dev/null
  if [[ "$servers" == yes ]]; then
    # The sanitizers wait for the GPU, the build for the processors.
    STEP_TIMEOUT_SECONDS="$BUILD_TIMEOUT_SECONDS" step servers bash -euo pipefail -c build_servers &
    building=$!
    sanitize_kernels
    if wait "$building"; then
      test_servers
    else
      failed=1
    fi
  else
    record servers "left out: no gRPC" 0
    sanitize_kernels
  fi
else
  failed=1
fi
python3 "$ROOT/tests/gpu/report.py" "$RESULTS"
exit "$failed"
