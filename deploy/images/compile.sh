#!/usr/bin/env bash
# compile.sh VARIANT ARGUMENT…: deploy/local/build.sh with the variant's preset and these arguments,
# in an image's build. Compiles through the cache in CCACHE_DIR where that is set and mounted, else
# without a cache: one in a layer would serve nobody.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

if [[ -n "${CCACHE_DIR:-}" ]]; then
  [[ -d "$CCACHE_DIR" ]] || {
    printf 'error: CCACHE_DIR=%s: no such directory in the build; mount it, or leave CCACHE_DIR empty\n' \
      "$CCACHE_DIR" >&2
    exit 2
  }
  # Neither paths nor the locale count, so that builds outside of images share it; the cache keeps
  # its size.
  export CCACHE_DIR LANG=C.UTF-8 CCACHE_BASEDIR=/ CCACHE_NOHASHDIR=1
  export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-20G}"
else
  unset CCACHE_DIR
  export CCACHE_DISABLE=1
fi
preset="$("$ROOT/deploy/images/preset.sh" "${1-}")"
shift
exec "$ROOT/deploy/local/build.sh" "$preset" "$@"
