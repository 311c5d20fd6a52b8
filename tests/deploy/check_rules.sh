#!/usr/bin/env bash
# Checks the Prometheus rules, and that each alert fires when its fault is there and not without it.
set -euo pipefail
root="${1:?the repository root is expected}"
promtool="$root/build/tools/bin/promtool"
if [[ ! -x "$promtool" ]]; then
  printf 'error: no %s; run deploy/local/install_prometheus.sh\n' "$promtool" >&2
  exit 1
fi
"$promtool" check rules "$root"/deploy/prometheus/*.rules.yml
"$promtool" test rules "$root"/tests/deploy/*_test.yml

# Every metric that a rule asks for is one that docs/metrics.md has.
missing=0
for metric in $(grep -ohE '\btramontane_[a-z0-9_]+' "$root"/deploy/prometheus/*.rules.yml |
  sed -E 's/_(bucket|sum|count)$//' | sort -u); do
  if ! grep -q "\`$metric\`" "$root/docs/metrics.md"; then
    printf 'error: %s is in a rule and not in docs/metrics.md\n' "$metric" >&2
    missing=1
  fi
done
exit "$missing"
