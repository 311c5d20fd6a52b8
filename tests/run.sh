#!/usr/bin/env bash
# Installs what the tests need, builds, and runs every test: the release build, then the same tests
# under the address and undefined-behaviour sanitizers, then under the thread sanitizer. Then compiles
# the CUDA backend, whose tests skip themselves where there is no GPU.
#
#   tests/run.sh              all four
#   tests/run.sh tsan         these presets only (release, dev, asan, tsan, cuda)
#
# Ends with a line for each preset; exit code 0 where every test passed. A second run compiles
# nothing that did not change.
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

# Compiles what the preset cuda has and release has not, and runs its tests.
test_cuda() {
  heading "cuda: build"
  deploy/local/install_cuda.sh || return 1
  local log=build/build-cuda.log
  deploy/local/build.sh cuda --tests cuda_kernels_test cuda_kernels_benchmark 2>&1 | tee "$log" || return 1
  # No warning of the compiler's, and four times the time.
  if grep -q "wgmma.mma_async instructions are serialized" "$log"; then
    printf 'error: ptxas makes the products of warpgroups wait for each other (above); expected none: a kernel has %s\n' \
      'too few registers, or uses sums between products' >&2
    rm -f build/cuda/kernels/CMakeFiles/kernels.dir/cuda/warpgroup_rows.cu.o  # the next run compiles it again
    return 1
  fi
  heading "cuda: tests"
  build/cuda/bin/cuda_kernels_test --gtest_brief=1
}

# Builds a preset and runs its tests; fails where either fails.
test_preset() {
  local preset="$1"
  if [[ "$preset" == cuda ]]; then
    test_cuda
    return
  fi
  heading "$preset: build"
  "$ROOT/deploy/local/build.sh" "$preset" --tests || return 1
  heading "$preset: tests"
  local run=(ctest --preset "$preset" --parallel "$(nproc)" --no-tests=error)
  if [[ "$preset" == tsan ]]; then
    without_address_randomisation "${run[@]}"
  else
    "${run[@]}"
  fi
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
failed=0
for preset in "${presets[@]}"; do
  started=$SECONDS
  if test_preset "$preset"; then
    result=passed
  else
    result=FAILED
    failed=1
  fi
  summary+=("$(printf '%-8s %s in %d s' "$preset" "$result" "$((SECONDS - started))")")
done
heading "summary"
printf '%s\n' "${summary[@]}"
exit "$failed"
