#!/usr/bin/env bash
# Provides build/tools/bin/prometheus and promtool: the distribution's package, unpacked there and
# installed nowhere, so that no service is started. Does nothing where they are there.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly TOOLS="$ROOT/build/tools"
readonly LOG="$ROOT/build/install_prometheus.log"

works() {
  "$TOOLS/bin/promtool" --version >/dev/null 2>&1 && "$TOOLS/bin/prometheus" --version >/dev/null 2>&1
}

unpack() {
  local state="$TOOLS/apt-prometheus" package
  rm -rf "$state" "$TOOLS/prometheus"
  mkdir -p "$state" "$TOOLS/prometheus" "$TOOLS/bin"
  (cd "$state" && apt-get -q -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=5 \
    download prometheus) >>"$LOG" 2>&1 || return 1
  for package in "$state"/*.deb; do
    dpkg-deb -x "$package" "$TOOLS/prometheus" || return 1
  done
  rm -rf "$state"
  ln -sf ../prometheus/usr/bin/prometheus ../prometheus/usr/bin/promtool "$TOOLS/bin/"
}

# The lists may be old, or not there at all.
refresh_lists() {
  local as_root=()
  [[ "$(id -u)" == 0 ]] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -q -o DPkg::Lock::Timeout=300 >>"$LOG" 2>&1
}

if works; then
  exit 0
fi
mkdir -p "$ROOT/build"
printf 'Unpacking Prometheus\n'
: >"$LOG"
if ! { { unpack || { refresh_lists && unpack; }; } && works; }; then
  tail -n 20 "$LOG" >&2
  printf 'error: the package prometheus could not be had from apt; the whole log is %s\n' "$LOG" >&2
  exit 1
fi
