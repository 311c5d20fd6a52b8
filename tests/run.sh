#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test: the release build, then the same tests
# under the address and undefined-behaviour sanitizers, then under the thread sanitizer. Then compiles
# the CUDA backend, whose tests skip themselves where there is no GPU.
#
#   tests/run.sh              all four
#   tests/run.sh tsan         these presets only (release, dev, asan, tsan, cuda)
#
# Ends with a line for each preset, and the output of what failed once more; exit code 0 where every
# test passed. A second run compiles nothing that did not change.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly DEFAULT_PRESETS=(release asan tsan cuda)

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit "$1"
}

heading() {
  printf '\n=== %s\n' "$*"
}

# The thread sanitizer of GCC 12 cannot place its shadow memory where the kernel randomises
# addresses widely (vm.mmap_rnd_bits above 28); without randomisation it always can.
without_address_randomisation() {
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}

# Builds a preset (further arguments: targets only) and keeps what the build said for the summary.
build_preset() {
  local preset="$1"
  heading "$preset: build"
  deploy/local/build.sh "$preset" --tests "${@:2}" 2>&1 | tee "build/build-$preset.log"
}

# Prints the end of what a preset's build printed where that failed, else of what each failed test
# printed: where only the end of a long log is kept, it says what is wrong.
what_failed() {
  local preset="$1" stage="$2"
  if [[ "$stage" == build ]]; then
    printf '\n--- %s: build\n' "$preset"
    tail -n 60 "build/build-$preset.log" || true
    return
  fi
  if [[ "$preset" == cuda ]]; then
    printf '\n--- cuda: tests\n'
    { grep -v "[Ss]kipped$" build/tests-cuda.log || true; } | tail -n 120
    return
  fi
  local logs="build/$preset/Testing/Temporary"
  printf '\n--- %s: all of them\n' "$preset"
  sed 's/^[0-9]*://' "$logs/LastTestsFailed.log" || true
  # CTest's log has each test's name, its output, and whether it failed; not those that did not start.
  awk -v preset="$preset" '
    / Testing: / { name = $0; sub(/.* Testing: /, "", name); lines = 0 }
    { line[lines++] = $0 }
    /^Test Failed\.$/ {
      printf "\n--- %s: %s\n", preset, name
      for (i = lines > 120 ? lines - 120 : 0; i < lines; ++i) print line[i]
    }' "$logs/LastTest.log" || true
}

# Compiles what the preset cuda has and release has not.
build_cuda() {
  deploy/local/install_cuda.sh || return 1
  build_preset cuda cuda_kernels_test cuda_kernels_benchmark || return 1
  local log=build/build-cuda.log
  # No warning of the compiler's, and four times the time.
  if grep -q "wgmma.mma_async instructions are serialized" "$log"; then
    printf 'error: ptxas makes the products of warpgroups wait for each other (above); expected none: a kernel has %s\n' \
      'too few registers, or uses sums between products' | tee -a "$log" >&2
    rm -f build/cuda/kernels/CMakeFiles/kernels.dir/cuda/warpgroup_rows.cu.o  # the next run compiles it again
    return 1
  fi
}

# Runs a preset's tests.
run_tests() {
  local preset="$1"
  heading "$preset: tests"
  local run=(ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error)
  case "$preset" in
    # Where there is no device, each reason to skip is said once, not for every test.
    cuda)
      build/cuda/bin/cuda_kernels_test --gtest_brief=1 2>&1 | tee build/tests-cuda.log |
        awk '!(/[Ss]kipped$/ && seen[$0]++)'
      ;;
    tsan) without_address_randomisation "${run[@]}" ;;
    *) "${run[@]}" ;;
  esac
}

presets=("${DEFAULT_PRESETS[@]}")
if (($# > 0)); then
  presets=("$@")
fi
for preset in "${presets[@]}"; do
  case "$preset" in
    release | dev | asan | tsan | cuda) ;;
    -h | --help) usage 0 ;;
    *)
      printf 'error: %s is not a preset\n\n' "$preset" >&2
      usage 2 >&2
      ;;
  esac
done

cd "$ROOT"
heading "packages"
deploy/local/install_packages.sh --tests
tests/structure/install_clang_format.sh
deploy/local/install_prometheus.sh
echo "all there"

summary=()
failures=()
for preset in "${presets[@]}"; do
  started=$SECONDS
  result=passed
  build=(build_preset "$preset")
  [[ "$preset" != cuda ]] || build=(build_cuda)
  if ! "${build[@]}"; then
    result="FAILED (build)"
    failures+=("$(what_failed "$preset" build)")
  elif ! run_tests "$preset"; then
    result="FAILED (tests)"
    failures+=("$(what_failed "$preset" tests)")
  fi
  summary+=("$(printf '%-8s %s in %d s' "$preset" "$result" "$((SECONDS - started))")")
done
if ((${#failures[@]} > 0)); then
  heading "what failed"
  printf '%s\n' "${failures[@]}"
fi
heading "summary"
printf '%s\n' "${summary[@]}"
((${#failures[@]} == 0))
