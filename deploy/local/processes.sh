# Processes of a local run: started once, recognised again, stopped. Sourced by run.sh and stop.sh,
# which set STATE, the directory of these files:
#   NAME.process   pid and start time (in the kernel's ticks since boot), so that a pid that was
#                  given to another program meanwhile is never taken for ours
#   NAME.command   the binary's digest and the command line
#   NAME.address   what the server writes once it listens: RPC address, metrics address; of
#                  Prometheus, which run.sh writes, its HTTP address
#   NAME.log       its standard output and error
readonly START_TIMEOUT_SECONDS="${START_TIMEOUT_SECONDS:-600}"
readonly STOP_TIMEOUT_SECONDS=60
readonly EXIT_UNAVAILABLE=4 # proto/serving/process.h

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints the start time of process $1, and fails where it does not run (a zombie does not).
start_time() {
  local stat fields
  stat="$(cat "/proc/$1/stat" 2>/dev/null)" || return 1
  # The name in parentheses may hold spaces; what follows it begins with field 3, the state.
  read -r -a fields <<<"${stat##*) }"
  [[ "${fields[0]}" != Z ]] && printf '%s' "${fields[19]}"
}

# Prints the pid of server $1 where it runs.
running_pid() {
  local pid started
  read -r pid started 2>/dev/null <"$STATE/$1.process" || return 1
  [[ "$(start_time "$pid")" == "$started" ]] && printf '%s' "$pid"
}

# fingerprint BINARY ARGUMENT…: changes with the binary's content and with every argument.
fingerprint() {
  sha256sum <"$1"
  printf '%s\n' "$@"
}

log_tail() {
  printf -- '--- the end of %s\n' "$STATE/$1.log" >&2
  tail -n 20 "$STATE/$1.log" >&2 || true
}

# is_current NAME BINARY ARGUMENT…: whether the server runs, of this very binary and arguments.
is_current() {
  local name="$1"
  shift
  running_pid "$name" >/dev/null &&
    [[ "$(cat "$STATE/$name.command" 2>/dev/null)" == "$(fingerprint "$@")" ]]
}

# launch NAME BINARY ARGUMENT…: starts a server of ours, replacing one of another binary or of other
# arguments; one that is current stays.
launch() {
  launch_with "--address_file=$STATE/$1.address" "$@"
}

# launch_with FLAG NAME BINARY ARGUMENT…: the same of any program, with FLAG (none where it is empty)
# after the arguments.
launch_with() {
  local flag="$1" name="$2" pid
  shift
  if is_current "$@"; then
    printf '%s is running\n' "$name"
    return 0
  fi
  stop "$name"
  shift
  fingerprint "$@" >"$STATE/$name.command"
  # Descriptor 9 is run.sh's lock, which must not live as long as the server.
  setsid "$@" ${flag:+"$flag"} </dev/null >"$STATE/$name.log" 2>&1 9>&- &
  pid=$!
  disown "$pid"
  printf '%s %s\n' "$pid" "$(start_time "$pid" || true)" >"$STATE/$name.process"
  printf '%s starts (pid %s)\n' "$name" "$pid"
}

# Waits until the server listens.
await_address() {
  local deadline=$((SECONDS + START_TIMEOUT_SECONDS))
  until [[ -s "$STATE/$1.address" ]]; do
    if ! running_pid "$1" >/dev/null && [[ ! -s "$STATE/$1.address" ]]; then
      log_tail "$1"
      fail "$1 ended before it listened"
    fi
    if ((SECONDS >= deadline)); then
      log_tail "$1"
      fail "$1 did not listen within $START_TIMEOUT_SECONDS s"
    fi
    sleep 0.05
  done
}

rpc_address() { sed -n 1p "$STATE/$1.address"; }
metrics_address() { sed -n 2p "$STATE/$1.address"; }

# stop NAME: SIGTERM, which lets running requests finish; SIGKILL after the timeout.
stop() {
  local name="$1" pid deadline=$((SECONDS + STOP_TIMEOUT_SECONDS))
  if pid="$(running_pid "$name")"; then
    kill -TERM "$pid" 2>/dev/null || true
    while running_pid "$name" >/dev/null; do
      if ((SECONDS >= deadline)); then
        printf '%s (pid %s) did not stop within %s s: killed\n' "$name" "$pid" \
          "$STOP_TIMEOUT_SECONDS" >&2
        kill -KILL "$pid" 2>/dev/null || true
        deadline=$((SECONDS + STOP_TIMEOUT_SECONDS))
      fi
      sleep 0.05
    done
    printf '%s stopped\n' "$name"
  elif [[ -e "$STATE/$name.process" ]]; then
    printf '%s had ended; its log is %s\n' "$name" "$STATE/$name.log"
  fi
  rm -f "$STATE/$name.process" "$STATE/$name.command" "$STATE/$name.address"
}

# Prints the names of the servers that have a process file, the coordinator first: it must not
# see its workers go.
known_servers() {
  local file
  for file in "$STATE"/coordinator*.process "$STATE"/expert_worker*.process; do
    [[ ! -e "$file" ]] || basename "$file" .process
  done
}
