#!/usr/bin/env bash
# Builds the CUDA backend and the servers on a machine with a GPU, offline, and tests and measures them:
#
#   tests/gpu/pack.sh        elsewhere, first: what this machine lacks, carried as build/gpu/sysroot.tar.xz
#   tests/gpu/run.sh [DIR]   here; writes results.json, results.md and logs to DIR (default:
#                            build/gpu/results)
#   tests/gpu/run.sh --only=STEP,STEP [DIR]
#                            those steps alone, with what an earlier call has built; its results are kept
#
# Steps, in this order: configure, build and tests (the kernels'); servers (their build); golden_cuda and device
# (the golden checkpoints of tests/golden on the GPU, in one process and over gRPC); benchmark and peak (of kernels);
# speed (whole requests in one process), peer (Hugging Face Transformers), speed_grpc and speed_graphs; memcheck and
# racecheck; tests_build, golden_cpu, golden_f32, golden_bf16, equality and integration.
#
# Needs CMake, Ninja, GCC 12 to 14, Python 3.11 or later and a CUDA toolkit (CUDA_HOME, nvcc on the PATH, or
# /usr/local/cuda). Without build/gpu/sysroot.tar.xz the system's libraries are used, and where gRPC is not
# among them the servers are left out. Steps that this machine has no program or no device for are left out
# and named in the results. A step that takes longer than STEP_TIMEOUT_SECONDS (default 120; the steps that
# need more have limits of their own), or a build that takes longer than BUILD_TIMEOUT_SECONDS (default 420), is
# ended; so is everything DEADLINE_SECONDS (default 570) after the start, and steps that then remain are left out.
# SPEED_OPTIONS are further ones of speed.py, such as --layers=4.
#
# Exit code 0 where every step passed or was left out.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly BUILD="$ROOT/build/gpu/build"
readonly SYSROOT="$ROOT/build/gpu/sysroot"
STEP_TIMEOUT_SECONDS="${STEP_TIMEOUT_SECONDS:-120}"
BUILD_TIMEOUT_SECONDS="${BUILD_TIMEOUT_SECONDS:-420}"
readonly DEADLINE_SECONDS="${DEADLINE_SECONDS:-570}"
# A step is not begun with less.
readonly MIN_STEP_SECONDS=5
readonly MIN_SPEED_SECONDS=60

if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit 0
fi
ONLY=""
if [[ "${1:-}" == --only=* ]]; then
  ONLY="${1#--only=}"
  shift
fi
RESULTS="${1:-$ROOT/build/gpu/results}"
mkdir -p "$RESULTS"
RESULTS="$(cd "$RESULTS" && pwd)"

# wanted NAME: whether the step is asked for.
wanted() {
  [[ -z "$ONLY" || ",$ONLY," == *",$1,"* ]]
}

# Keeps the lines of an earlier call but for the steps that run again.
begin_results() {
  touch "$RESULTS/steps.tsv"
  if [[ -z "$ONLY" ]]; then
    rm -f "$RESULTS"/{tests,benchmark,peak,speed,peer}.json
    : >"$RESULTS/steps.tsv"
  else
    grep -Ev "^(${ONLY//,/|})"$'\t' "$RESULTS/steps.tsv" >"$RESULTS/steps.kept" || true
    mv "$RESULTS/steps.kept" "$RESULTS/steps.tsv"
  fi
}

# record NAME RESULT SECONDS: a line for the report.
record() {
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$RESULTS/steps.tsv"
  printf '%-12s %s in %d s\n' "$1" "$2" "$3"
}

# leave_out NAME REASON: a line for a step that is asked for and cannot run.
leave_out() {
  ! wanted "$1" || record "$1" "left out: $2" 0
}

# limit_of SECONDS: what a step with this limit gets before the deadline.
limit_of() {
  local left=$((DEADLINE_SECONDS - SECONDS))
  echo $((left < $1 ? left : $1))
}

# step NAME COMMAND…: runs it with its output in NAME.log. 3 where it is left out.
step() {
  local name="$1" started=$SECONDS code=0 limit
  shift
  wanted "$name" || return 3
  limit="$(limit_of "$STEP_TIMEOUT_SECONDS")"
  if ((limit < MIN_STEP_SECONDS)); then
    leave_out "$name" "no time"
    return 3
  fi
  timeout --kill-after=10 "$limit" "$@" >"$RESULTS/$name.log" 2>&1 || code=$?
  case "$code" in
    0) record "$name" passed "$((SECONDS - started))" ;;
    3) record "$name" "left out: $(left_out_for "$RESULTS/$name.log")" "$((SECONDS - started))" ;;
    124 | 137)
      if ((limit < STEP_TIMEOUT_SECONDS)); then
        record "$name" "left out: no time, ended" "$((SECONDS - started))"
        return 3
      fi
      record "$name" "FAILED: more than $limit s" "$((SECONDS - started))"
      ;;
    *)
      record "$name" "FAILED: exit code $code" "$((SECONDS - started))"
      tail -n 15 "$RESULTS/$name.log" >&2
      ;;
  esac
  return "$code"
}

# The reason that a step gave in its log for exit code 3.
left_out_for() {
  local reason
  reason="$(sed -n 's/^left out: //p' "$1" | head -n 1)"
  printf '%s' "${reason:-no device}"
}

unpack_sysroot() {
  [[ -e "$ROOT/build/gpu/sysroot.tar.xz" ]] || return 0
  [[ ! "$SYSROOT/cache.cmake" -nt "$ROOT/build/gpu/sysroot.tar.xz" ]] || return 0
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

# What the checks and the measurements of the servers need; the rest of the tests comes last.
build_servers() {
  ninja -C "$BUILD" coordinator expert_worker generate device_test load_client synthetic_checkpoint
}

build_tests() {
  ninja -C "$BUILD" attention_worker tramontanectl integration_test golden_f32_test golden_bf16_test equality_test
}

# Reads and writes out of bounds over all tests; races in shared memory over a subset. racecheck does not follow the
# barriers that cp.async.bulk completes to threads that then load from shared memory: it reports them as races, with
# clusters of one block and barriers of its own block, too, and ends with an error of its own at the bf16 products that
# are beside them. The emulation checks those kernels' barriers.
sanitize() {
  local tool="$1" filter="$2" options=()
  [[ "$tool" != racecheck ]] || options=(--kernel-name-exclude kns=WarpgroupRowsKernel)
  compute-sanitizer --tool "$tool" --error-exitcode 1 "${options[@]}" "$BUILD/bin/cuda_kernels_test" \
    --gtest_brief=1 --gtest_filter="$filter"
}
export -f configure build_kernels build_servers build_tests sanitize architectures
export ROOT BUILD SYSROOT

failed=0
# try COMMAND…: runs a step, or what runs one, which may be left out.
try() {
  "$@" || { (($? == 3)) || failed=1; }
}

# on_device NAME COMMAND…: a step that needs a GPU and does not ask for one itself.
on_device() {
  if has_device; then
    try step "$@"
  else
    leave_out "$1" "no device"
  fi
}

# build NAME FUNCTION: a step with the time that a build may take; 0 where it has been built.
build() {
  STEP_TIMEOUT_SECONDS="$BUILD_TIMEOUT_SECONDS" step "$1" bash -euo pipefail -c "$2"
}

configure_all() {
  if ! wanted configure; then
    return 0
  fi
  unpack_sysroot
  if has_grpc; then
    step configure bash -euo pipefail -c 'configure OFF' && return 0
    failed=1
  else
    record servers "left out: no gRPC" 0
  fi
  # What was configured with servers does not become one without.
  rm -rf "$BUILD"
  step kernels_only bash -euo pipefail -c 'configure ON' || failed=1
}

# has PROGRAM: whether it was built, now or in an earlier call.
has() {
  [[ -x "$BUILD/bin/$1" ]]
}

# built NAME PROGRAM…: whether what the step NAME needs is there.
built() {
  local program
  for program in "${@:2}"; do
    if ! has "$program"; then
      leave_out "$1" "no $program"
      return 1
    fi
  done
}

test_servers() {
  ! built golden_cuda coordinator expert_worker generate ||
    on_device golden_cuda python3 -B "$ROOT/tests/gpu/golden_tokens.py" "$BUILD/bin" cuda:0
  ! built device device_test || on_device device "$BUILD/bin/device_test" --gtest_brief=1
}

measure_kernels() {
  ! built benchmark cuda_kernels_benchmark ||
    try step benchmark "$BUILD/bin/cuda_kernels_benchmark" --json="$RESULTS/benchmark.json"
  try step peak python3 "$ROOT/tests/gpu/measure_peak.py" "$RESULTS/peak.json"
}

# speed NAME PART SECONDS: speed.py with a limit; it ends by itself a little earlier, with what it has.
speed() {
  local limit
  limit="$(limit_of "$3")"
  if ((limit < MIN_SPEED_SECONDS)); then
    leave_out "$1" "no time"
    return 0
  fi
  STEP_TIMEOUT_SECONDS="$3" on_device "$1" python3 -B "$ROOT/tests/gpu/speed.py" "$BUILD/bin" cuda:0 "$RESULTS" \
    --parts="$2" --time_s="$((limit - 15))" ${SPEED_OPTIONS:-}
}

stop_mps() {
  [[ -n "${MPS_FOLDER:-}" ]] || return 0
  echo quit | timeout 5 nvidia-cuda-mps-control >>"$RESULTS/mps.log" 2>&1 || true
  rm -rf "$MPS_FOLDER"
  unset MPS_FOLDER CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
}

# with_mps NAME COMMAND…: the step NAME with the device shared by NVIDIA's multi-process service, where it is
# installed and not chosen already. Without it the device serves one process at a time, and a hop waits for it to
# turn from one to the next, twice. The results say what was.
with_mps() {
  local code=0
  if wanted "$1" && has_device && [[ -z "${CUDA_MPS_PIPE_DIRECTORY:-}" ]] &&
    command -v nvidia-cuda-mps-control >/dev/null; then
    MPS_FOLDER="$(mktemp -d /tmp/mps.XXXXXX)"
    export CUDA_MPS_PIPE_DIRECTORY="$MPS_FOLDER" CUDA_MPS_LOG_DIRECTORY="$MPS_FOLDER"
    if nvidia-cuda-mps-control -d </dev/null >"$RESULTS/mps.log" 2>&1; then
      record "mps_for_$1" "started" 0
    else
      record "mps_for_$1" "left out: does not start, see mps.log" 0
      stop_mps
    fi
  fi
  "${@:2}" || code=$?
  stop_mps
  return "$code"
}
trap stop_mps EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

measure_servers() {
  local programs=(coordinator expert_worker load_client synthetic_checkpoint)
  ! built speed "${programs[@]}" || speed speed one_process 200
  STEP_TIMEOUT_SECONDS=120 on_device peer python3 -B "$ROOT/tests/gpu/peer.py" "$RESULTS"
  ! built speed_grpc "${programs[@]}" || with_mps speed_grpc speed speed_grpc grpc 170
  # The same again, with what comes again launched as graphs.
  ! built speed_graphs "${programs[@]}" || speed speed_graphs one_process_graphs 170
}

sanitize_kernels() {
  if ! command -v compute-sanitizer >/dev/null; then
    leave_out memcheck "no compute-sanitizer"
    leave_out racecheck "no compute-sanitizer"
    return 0
  fi
  on_device memcheck bash -c 'sanitize memcheck "*CudaProducts*:*CudaAttention*:*RmsNorm*:*Rope*:*Route*:*Combine*:*Embed*:*Sample*"'
  on_device racecheck bash -c 'sanitize racecheck "*CudaProducts*EqualTheReference*/cuda_f32:*CudaAttention*MixedBatch*:*RmsNorm*Every*"'
}

test_the_rest() {
  # The same programs on the CPU: what fails here has nothing to do with the GPU.
  try step golden_cpu python3 -B "$ROOT/tests/gpu/golden_tokens.py" "$BUILD/bin" cpu
  # Tests that start servers, or a model, on a device that is named do so on this one.
  export TRAMONTANE_TEST_DEVICE=cuda:0
  local test
  for test in golden_f32 golden_bf16 equality; do
    on_device "$test" "$BUILD/bin/${test}_test" --gtest_brief=1
  done
  STEP_TIMEOUT_SECONDS=300 on_device integration "$BUILD/bin/integration_test" --gtest_brief=1 \
    --gtest_filter='*GoldenApiTest*:*EqualityTest*'
}

# So that the results are there should this be ended before it is through.
report() {
  python3 -B "$ROOT/tests/gpu/report.py" "$RESULTS" >"$RESULTS/report.log" 2>&1 || true
}

# build_beside NAME FUNCTION PROGRAM…: builds on the processors while PROGRAM… uses the GPU. 1 where that failed.
build_beside() {
  local building
  build "$1" "$2" &
  building=$!
  "${@:3}"
  wait "$building"
}

begin_results
nvidia-smi >"$RESULTS/nvidia-smi.log" 2>&1 || true
configure_all
try build build build_kernels

test_kernels() {
  ! built tests cuda_kernels_test ||
    try step tests "$BUILD/bin/cuda_kernels_test" --gtest_brief=1 --gtest_output="json:$RESULTS/tests.json"
  report
}

if has_grpc; then
  try build_beside servers build_servers test_kernels
  test_servers
else
  test_kernels
fi
report
measure_kernels
report
measure_servers
report
if has coordinator; then
  try build_beside tests_build build_tests sanitize_kernels
  ! has integration_test || test_the_rest
else
  sanitize_kernels
fi
report
cat "$RESULTS/results.md"
exit "$failed"
