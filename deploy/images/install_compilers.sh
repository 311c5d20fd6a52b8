#!/usr/bin/env bash
# install_compilers.sh VARIANT: what compiling a variant of the images takes beside the packages of
# all of them: for cuda, CUDA's compiler and static runtime, from the wheels of
# deploy/local/cuda_wheels.txt. No image has any of it.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

preset="$("$ROOT/deploy/images/preset.sh" "$@")"
if [[ "$preset" == cuda ]]; then
  "$ROOT/deploy/local/install_packages.sh" --cuda
  "$ROOT/deploy/local/install_cuda.sh" --wheels
fi
