#!/usr/bin/env bash
# Provides CUDA's compiler and runtime for the preset `cuda`: a toolkit that is there (CUDA_HOME, nvcc on
# the PATH, /usr/local/cuda), else build/tools/cuda from NVIDIA's Python wheels, whose versions and hashes
# are in cuda_wheels.txt: about 100 MB. Needs no GPU and no driver. Does nothing where it is there.
#
#   install_cuda.sh           as above
#   install_cuda.sh --wheels  from the wheels, whatever toolkit is there
set -euo pipefail

readonly HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly ROOT="$(cd "$HERE/../.." && pwd)"
readonly CUDA="$ROOT/build/tools/cuda"
readonly LOG="$ROOT/build/install_cuda.log"
readonly WHEELS="$HERE/cuda_wheels.txt"
# The oldest toolkit that kernels/cuda/toolkit.cmake takes.
readonly OLDEST=12.4

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints the version of the nvcc $1, such as 13.0.
version_of() {
  "$1" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\),.*/\1/p'
}

# Prints the first nvcc of a toolkit that is there and new enough.
find_toolkit() {
  local nvcc version
  for nvcc in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    [[ -n "$nvcc" && -x "$nvcc" ]] || continue
    version="$(version_of "$nvcc")"
    if [[ "$(printf '%s\n' "$OLDEST" "${version:-0}" | sort -V | head -n 1)" == "$OLDEST" ]]; then
      printf '%s' "$nvcc"
      return 0
    fi
    printf 'passing over %s: version %s, older than %s\n' "$nvcc" "${version:-unknown}" "$OLDEST" >&2
  done
  return 1
}

# Whether build/tools/cuda is of these very wheels, and works.
is_current() {
  cmp -s "$WHEELS" "$CUDA/cuda_wheels.txt" && [[ -n "$(version_of "$CUDA/bin/nvcc")" ]]
}

install_wheels() {
  local state="$ROOT/build/tools/cuda-wheels" wheel
  rm -rf "$state" "$CUDA"
  mkdir -p "$state/unpacked"
  python3 -m venv "$state/venv" >>"$LOG" 2>&1 || return 1
  "$state/venv/bin/python" -m pip --disable-pip-version-check download --no-deps --require-hashes \
    --only-binary=:all: --retries 5 --dest "$state" -r "$WHEELS" >>"$LOG" 2>&1 || return 1
  for wheel in "$state"/*.whl; do
    "$state/venv/bin/python" -m zipfile -e "$wheel" "$state/unpacked" >>"$LOG" 2>&1 || return 1
  done
  mv "$state/unpacked/nvidia/cu13" "$CUDA"
  chmod +x "$CUDA"/bin/* "$CUDA"/nvvm/bin/*
  ln -s lib "$CUDA/lib64"
  cp "$state"/unpacked/nvidia_cuda_runtime-*.dist-info/licenses/License.txt "$CUDA/LICENSE" ||
    return 1
  # ccache knows a compiler by its time and size.
  find "$CUDA" -exec touch -h -d @0 {} + || return 1
  rm -rf "$state"
  cp "$WHEELS" "$CUDA/cuda_wheels.txt"
}

case "${1:-}" in
  "")
    if nvcc="$(find_toolkit)"; then
      printf 'CUDA %s is there: %s\n' "$(version_of "$nvcc")" "$nvcc"
      exit 0
    fi
    ;;
  --wheels) ;;
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *)
    printf 'error: expected --wheels or nothing, found %s\n' "$1" >&2
    exit 2
    ;;
esac
if is_current; then
  exit 0
fi
[[ "$(uname -m)" == x86_64 ]] ||
  fail "cuda_wheels.txt is for x86-64; install a CUDA toolkit and set CUDA_HOME to it"
mkdir -p "$ROOT/build"
: >"$LOG"
printf "Unpacking CUDA's compiler and runtime\n"
install_wheels && is_current || {
  tail -n 20 "$LOG" >&2
  fail "CUDA's wheels could not be had; the whole log is $LOG. A toolkit will do, too: set CUDA_HOME to it"
}
