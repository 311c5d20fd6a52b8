#!/usr/bin/env bash
# check_format.sh ROOT: fails, with a diff's places, where a C++ file is not as clang-format 14 writes
# it. Fails too where that version is not there: a check that is left out finds nothing.
set -euo pipefail

cd "$1"
formatter=build/tools/bin/clang-format-14
[[ -x "$formatter" ]] || formatter="$(command -v clang-format-14 || true)"
if [[ -z "$formatter" ]]; then
  echo "error: no clang-format-14; run tests/structure/install_clang_format.sh" >&2
  exit 1
fi
find . \( -path ./build -o -path './.*' \) -prune -o \
  \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 -r "$formatter" --dry-run -Werror --style=file
