#!/usr/bin/env bash
# Stops what deploy/local/run.sh started, and nothing else: the coordinator first, which finishes the
# requests that it runs, Prometheus last. Its files stay in build/local/.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly STATE="$ROOT/build/local"
source "$ROOT/deploy/local/processes.sh"

if (($# > 0)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  [[ "$1" == --help || "$1" == -h ]] && exit 0
  exit 2
fi
mkdir -p "$STATE"
exec 9>"$STATE/lock"
flock -w "$((2 * STOP_TIMEOUT_SECONDS))" 9 ||
  fail "another run.sh or stop.sh has held $STATE/lock for $((2 * STOP_TIMEOUT_SECONDS)) s"
servers="$(known_servers)"
[[ ! -e "$STATE/prometheus.process" ]] || servers+=" prometheus"
if [[ -z "$servers" ]]; then
  echo "Nothing is running."
  exit 0
fi
for server in $servers; do
  stop "$server"
done
