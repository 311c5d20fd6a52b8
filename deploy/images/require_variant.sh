#!/bin/sh
# require_variant.sh VARIANT: refuses a variant of the images that this source tree cannot build.
# Exit codes: 0 it can; 2 it cannot.
set -eu
case "${1-}" in
  cpu) ;;
  *)
    printf 'error: VARIANT=%s: expected cpu. This source tree has no backend for other hardware: its kernels are in kernels/reference and kernels/cpu. Build with VARIANT=cpu.\n' "${1-}" >&2
    exit 2
    ;;
esac
