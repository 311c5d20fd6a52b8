#!/bin/sh
# preset.sh VARIANT: prints the CMake preset that a variant of the images is compiled with.
# Exit codes: 0 printed; 2 there is no such variant.
set -eu
case "${1-}" in
  cpu) echo release ;;
  cuda) echo cuda ;;
  *)
    printf 'error: VARIANT=%s: expected cpu or cuda\n' "${1-}" >&2
    exit 2
    ;;
esac
