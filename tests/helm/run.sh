#!/usr/bin/env bash
# Tests of the chart.
#
#   tests/helm/run.sh
#
# What has to be there, in PATH or named by a variable:
#   HELM, helm                   lint and rendering; without it only the schema is tried
#   KUBECONFIG and KUBECTL, kubectl   a cluster, to which every manifest is sent with --dry-run=server
#   go                           fetches the published definitions of custom resources, once
# SEEDS is how many random values are tried: 40. PROGRAMS is the folder of built programs:
# build/release/bin. What is left out is said, with the reason.
# Exit codes: 0 all that could run passed; 1 something failed; 3 passed, and something was left out.
set -euo pipefail

readonly HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly PROGRAMS="${PROGRAMS:-$HERE/../../build/release/bin}"
readonly DEFINITIONS="$HERE/../../build/helm/definitions"
left_out=0

leave_out() {
  printf '\nleft out: %s\n' "$*"
  left_out=1
}

heading() {
  printf '\n=== %s\n' "$*"
}

# Sets FOUND to the program that $1 names, or to $2 in PATH; fails where neither is there.
find_program() {
  FOUND="${1:-$(command -v "$2" || true)}"
  [[ -n "$FOUND" && -x "$FOUND" ]]
}

run_python() {
  python3 -B "$@"
}

cd "$HERE"
heading "without helm"
run_python schema_test.py
run_python copies.py
run_python sources_test.py

if ! find_program "${HELM:-}" helm; then
  leave_out "lint, rendering, and the API server: no helm in PATH, and HELM does not name one"
  exit 3
fi
export HELM="$FOUND"
heading "with helm ($("$HELM" version --short))"
run_python -m unittest helm_test values_test access_test arrows_test rendered_test \
  pods_test replicas_test subchart_test
if [[ -x "$PROGRAMS/tramontanectl" ]]; then
  run_python planned_values_test.py "$PROGRAMS"
  run_python pages_test.py "$PROGRAMS"
else
  leave_out "the planner's values, and the documents' commands: no tramontanectl in $PROGRAMS"
fi

if [[ -z "${KUBECONFIG:-}" ]]; then
  leave_out "the API server: KUBECONFIG names no cluster"
  exit 3
fi
if ! find_program "${KUBECTL:-}" kubectl; then
  leave_out "the API server: no kubectl in PATH, and KUBECTL does not name one"
  exit 3
fi
export KUBECTL="$FOUND"
if [[ ! -d "$DEFINITIONS" ]]; then
  heading "published definitions of custom resources"
  if ! command -v go > /dev/null; then
    leave_out "the API server: no go to fetch the definitions of custom resources with"
    exit 3
  fi
  # All of them or none.
  rm -rf "$DEFINITIONS.new"
  run_python definitions.py "$DEFINITIONS.new"
  mv "$DEFINITIONS.new" "$DEFINITIONS"
fi
heading "against the API server ($("$KUBECTL" version 2> /dev/null | sed -n 's/^Server Version: //p'))"
run_python cluster_test.py "$DEFINITIONS" -v
exit "$((left_out * 3))"
