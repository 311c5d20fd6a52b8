#!/usr/bin/env bash
# Installs what Tramontane needs, builds it, starts a coordinator and its expert workers on this
# machine, and Prometheus beside them, and streams a story to the terminal. A second run does no
# work twice: it finds the packages, the build and the servers there, and streams another story.
#
#   deploy/local/run.sh [--model=DIR] [--workers=N] [--listen=HOST:PORT]
#                       [--metrics_listen=HOST:PORT] [--prometheus=HOST:PORT|off] [--prompt=TEXT]
#
# Each option may be given by the environment instead, e.g. WORKERS=4.
#   --model           a Hugging Face Mixtral directory (default: deploy/demo_model)
#   --workers         expert workers, each hosting an equal share of the experts of every layer
#                     (default: 2)
#   --listen          the coordinator's address, port 0 for a free one (default: 127.0.0.1:8470)
#   --metrics_listen  the coordinator's Prometheus endpoint (default: 127.0.0.1:9470)
#   --prometheus      Prometheus, with the rules in deploy/prometheus, on this address, or off. The
#                     distribution's package is unpacked in build/tools and installed nowhere; where
#                     it cannot be had, or the address is taken, all else runs without it
#                     (default: 127.0.0.1:9090)
#   --prompt          what the story begins with
# START_TIMEOUT_SECONDS (default 600) limits how long the model may take to load.
#
# Servers and their logs are in build/local/; deploy/local/stop.sh stops them.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly STATE="$ROOT/build/local"
readonly BIN="$ROOT/build/release/bin"
source "$ROOT/deploy/local/processes.sh"
source "$ROOT/deploy/local/prometheus.sh"

MODEL="${MODEL:-$ROOT/deploy/demo_model}"
WORKERS="${WORKERS:-2}"
LISTEN="${LISTEN:-127.0.0.1:8470}"
METRICS_LISTEN="${METRICS_LISTEN:-127.0.0.1:9470}"
PROMETHEUS="${PROMETHEUS:-127.0.0.1:9090}"
PROMPT="${PROMPT:-Once upon a time, in a castle by the sea,}"

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit "$1"
}

parse_options() {
  local option
  for option in "$@"; do
    case "$option" in
      --model=*) MODEL="${option#*=}" ;;
      --workers=*) WORKERS="${option#*=}" ;;
      --listen=*) LISTEN="${option#*=}" ;;
      --metrics_listen=*) METRICS_LISTEN="${option#*=}" ;;
      --prometheus=*) PROMETHEUS="${option#*=}" ;;
      --prompt=*) PROMPT="${option#*=}" ;;
      -h | --help) usage 0 ;;
      *)
        printf 'error: unknown option %s\n\n' "$option" >&2
        usage 2 >&2
        ;;
    esac
  done
  [[ -f "$MODEL/config.json" ]] ||
    fail "--model=$MODEL: no config.json there; expected a Hugging Face Mixtral directory"
  MODEL="$(cd "$MODEL" && pwd)"
  NUM_EXPERTS="$(sed -n 's/.*"num_local_experts": *\([0-9]*\).*/\1/p' "$MODEL/config.json")"
  NUM_EXPERTS="${NUM_EXPERTS:-8}" # Transformers' default
  [[ "$WORKERS" =~ ^[1-9][0-9]*$ ]] && ((WORKERS <= NUM_EXPERTS)) ||
    fail "--workers=$WORKERS: expected 1 to $NUM_EXPERTS, the model's experts"
  [[ "$PROMETHEUS" == off || "$PROMETHEUS" =~ ^[^:]+:[0-9]+$ ]] ||
    fail "--prometheus=$PROMETHEUS: expected HOST:PORT, such as 127.0.0.1:9090, or off"
}

# Succeeds where something listens on $1 (HOST:PORT).
listens() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

# Fails where another program listens on $1 (HOST:PORT), the value of flag $2.
require_free() {
  local port="${1##*:}" host="${1%:*}"
  [[ "$port" != 0 ]] || return 0
  if listens "$1"; then
    fail "another program listens on $1: end it, or choose another address: $2=$host:0 takes a" \
      "free port"
  fi
}

# Of each expert worker, by its name.
declare -A EXPERTS_OF

start_workers() {
  local i first last names=() workers=""
  for ((i = 0; i < WORKERS; i++)); do
    first=$((i * NUM_EXPERTS / WORKERS))
    last=$(((i + 1) * NUM_EXPERTS / WORKERS - 1))
    launch "expert_worker_$i" "$BIN/expert_worker" --model="$MODEL" --experts="$first-$last" \
      --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0
    EXPERTS_OF["expert_worker_$i"]="$first-$last"
    names+=("expert_worker_$i")
  done
  for i in "${names[@]}"; do
    await_address "$i"
    workers+="${workers:+,}$(rpc_address "$i")"
  done
  EXPERT_WORKERS="$workers"
}

start_coordinator() {
  local command=("$BIN/coordinator" --model="$MODEL" --listen="$LISTEN"
    --metrics_listen="$METRICS_LISTEN" --expert_workers="$EXPERT_WORKERS")
  if ! is_current coordinator "${command[@]}"; then
    stop coordinator
    require_free "$LISTEN" --listen
    require_free "$METRICS_LISTEN" --metrics_listen
  fi
  launch coordinator "${command[@]}"
  await_address coordinator
}

# Ends the workers of an earlier run that had more of them.
stop_surplus_workers() {
  local server
  for server in $(known_servers); do
    if [[ "$server" == expert_worker_* ]] && ((${server##*_} >= WORKERS)); then
      stop "$server"
    fi
  done
}

# Scores a prompt of one token, again while the servers answer that they are not there yet.
await_serving() {
  local deadline=$((SECONDS + START_TIMEOUT_SECONDS)) code server
  while true; do
    code=0
    "$BIN/generate" --target="$(rpc_address coordinator)" --prompt_token_ids=1 --max_tokens=0 \
      </dev/null >"$STATE/ready.log" 2>&1 || code=$?
    ((code != 0)) || return 0
    for server in $(known_servers); do
      running_pid "$server" >/dev/null || {
        log_tail "$server"
        fail "$server ended while the model was loading"
      }
    done
    if ((code != EXIT_UNAVAILABLE || SECONDS >= deadline)); then
      cat "$STATE/ready.log" >&2
      fail "the coordinator does not serve; logs are in $STATE"
    fi
    sleep 0.2
  done
}

tell_story() {
  local arguments=(--target="$(rpc_address coordinator)" --max_tokens=160 --temperature=0.8
    --top_p=0.95)
  printf '\n'
  if [[ -f "$MODEL/tokenizer.model" ]]; then
    "$BIN/generate" "${arguments[@]}" --echo=true "$PROMPT" </dev/null
  else
    "$BIN/generate" "${arguments[@]}" --prompt_token_ids=1,2,3 </dev/null
  fi
}

print_where() {
  local server prompt='"The old king"'
  [[ -f "$MODEL/tokenizer.model" ]] || prompt="--prompt_token_ids=1,2,3 --json"
  printf '\nCall it again:  build/release/bin/generate --target=%s --max_tokens=160 --temperature=0.8 %s\n' \
    "$(rpc_address coordinator)" "$prompt"
  printf 'Metrics:        http://%s/metrics  (coordinator)\n' "$(metrics_address coordinator)"
  for server in $(known_servers); do
    [[ "$server" == coordinator ]] ||
      printf '                http://%s/metrics  (%s)\n' "$(metrics_address "$server")" "$server"
  done
  [[ ! -s "$STATE/prometheus.address" ]] ||
    printf 'Prometheus:     http://%s  (rules: deploy/prometheus, dashboards: deploy/grafana)\n' \
      "$(rpc_address prometheus)"
  printf 'Logs:           build/local/*.log\n'
  printf 'Stop it:        deploy/local/stop.sh\n'
}

parse_options "$@"
"$ROOT/deploy/local/install_packages.sh"
"$ROOT/deploy/local/build.sh" release bin/coordinator bin/expert_worker bin/generate
mkdir -p "$STATE"
exec 9>"$STATE/lock"
flock -w "$START_TIMEOUT_SECONDS" 9 || fail "another run.sh or stop.sh holds $STATE/lock"
stop_surplus_workers
start_workers
start_coordinator
await_serving
start_prometheus
cd "$ROOT"
tell_story
print_where
