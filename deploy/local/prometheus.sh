# Prometheus beside a local run. Sourced by run.sh after processes.sh; what fails here is told and
# does not end the run.
readonly PROMETHEUS_START_TIMEOUT_SECONDS=60

without_prometheus() {
  printf 'Prometheus is not running: %s\n' "$*" >&2
}

# target NAME COMPONENT SHARD: the scrape target of a server, as JSON, with the labels that rules and
# dashboards need (docs/dashboards.md).
target() {
  local model="${MODEL##*/}" shard=""
  [[ -z "$3" ]] || shard=", \"shard\": \"$3\""
  # Neither ends a JSON string.
  model="${model//[\"\\]/_}"
  printf '{"targets": ["%s"], "labels": {"namespace": "local", "model": "%s", "component": "%s", "pod": "%s"%s}}' \
    "$(metrics_address "$1")" "$model" "$2" "$1" "$shard"
}

# Written beside and renamed, since Prometheus reads it whenever it changes.
write_targets() {
  local name file="$STATE/prometheus/targets.json"
  {
    printf '[\n  %s' "$(target coordinator coordinator "")"
    for name in "${!EXPERTS_OF[@]}"; do
      printf ',\n  %s' "$(target "$name" expert-worker "${EXPERTS_OF[$name]}")"
    done
    printf '\n]\n'
  } >"$file.new"
  mv "$file.new" "$file"
}

# Prints the address that Prometheus listens on, once it says so.
prometheus_listens_on() {
  sed -n 's/.*msg="Listening on" address=\([^ ]*\).*/\1/p' "$STATE/prometheus.log" | tail -n 1
}

# Waits until Prometheus listens; fails where it ends or takes too long.
await_prometheus() {
  local deadline=$((SECONDS + PROMETHEUS_START_TIMEOUT_SECONDS)) address
  until [[ -s "$STATE/prometheus.address" ]]; do
    address="$(prometheus_listens_on)"
    if [[ -n "$address" ]]; then
      printf '%s\n' "$address" >"$STATE/prometheus.address"
    elif ! running_pid prometheus >/dev/null || ((SECONDS >= deadline)); then
      return 1
    else
      sleep 0.05
    fi
  done
}

# Starts Prometheus, or has the running one read its rules again.
start_prometheus() {
  local tools="$ROOT/build/tools" command pid
  if [[ "$PROMETHEUS" == off ]]; then
    stop prometheus
    return 0
  fi
  "$ROOT/deploy/local/install_prometheus.sh" ||
    { without_prometheus "its package cannot be had; all else runs" && return 0; }
  mkdir -p "$STATE/prometheus"
  write_targets
  command=("$tools/bin/prometheus" --config.file="$ROOT/deploy/prometheus/prometheus.yml"
    --web.listen-address="$PROMETHEUS" --storage.tsdb.path="$STATE/prometheus/tsdb"
    --storage.tsdb.retention.time=2d --storage.tsdb.retention.size=256MB)
  # Debian's has its pages' templates outside the binary.
  [[ ! -d "$tools/prometheus/usr/share/prometheus/web" ]] ||
    command+=(--web.local-assets="$tools/prometheus/usr/share/prometheus/web")
  if is_current prometheus "${command[@]}"; then
    pid="$(running_pid prometheus)" && kill -HUP "$pid" || true
  else
    stop prometheus
    if [[ "${PROMETHEUS##*:}" != 0 ]] && listens "$PROMETHEUS"; then
      without_prometheus "another program listens on $PROMETHEUS; --prometheus=${PROMETHEUS%:*}:0" \
        "takes a free port"
      return 0
    fi
  fi
  launch_with "" prometheus "${command[@]}"
  await_prometheus || {
    log_tail prometheus
    stop prometheus
    without_prometheus "it did not start; all else runs"
  }
}
