#!/usr/bin/env bash
# Installs what Tramontane needs, with apt, as root or through sudo. Does nothing, and asks the
# network nothing, where all of it is there.
#
#   install_packages.sh            what building and running needs
#   install_packages.sh --tests    and what the tests need
#   install_packages.sh --cuda     and what install_cuda.sh needs
#
# The list and the versions that are supported: packages.txt beside this file.
# Exit codes: 0 all is there; 1 it could not be installed; 2 usage.
set -euo pipefail

readonly HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly PACKAGES="$HERE/packages.txt"
readonly LOG="$HERE/../../build/install_packages.log"
readonly UPDATE_TRIES=4

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints "package from below" for each line of the wanted sets.
wanted() {
  local set package from below
  while read -r set package from below; do
    case " $SETS " in *" $set "*) printf '%s %s %s\n' "$package" "$from" "$below" ;; esac
  done < <(grep -v -e '^#' -e '^$' "$PACKAGES")
}

# Succeeds where Debian version $1 lies in [$2, $3) of upstream's numbering.
supported() {
  local upstream="${1#*:}"
  dpkg --compare-versions "$upstream" ge "$2" && dpkg --compare-versions "$upstream" lt "$3"
}

installed_version() {
  local status
  status="$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null)" || return 0
  [[ "$status" != "installed "* ]] || printf '%s' "${status#installed }"
}

candidate_version() {
  local version
  version="$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')"
  [[ "$version" == "(none)" ]] || printf '%s' "$version"
}

system_name() {
  (. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-this system}") || printf 'this system'
}

refuse_version() {  # package, version, from, below
  fail "$(system_name) has $1 ${2#*:}; Tramontane supports $1 from $3 to below $4." \
    "Use Debian 12, Debian 13 or Ubuntu 24.04."
}

# Fills MISSING; refuses an installed version that is not supported.
find_missing() {
  local package from below version
  MISSING=()
  while read -r package from below; do
    version="$(installed_version "$package")"
    if [[ -z "$version" ]]; then
      MISSING+=("$package")
    elif ! supported "$version" "$from" "$below"; then
      refuse_version "$package" "$version" "$from" "$below"
    fi
  done < <(wanted)
}

# Refuses, before anything is installed, what the distribution would bring in a wrong version.
check_candidates() {
  local package from below version
  while read -r package from below; do
    [[ " ${MISSING[*]} " == *" $package "* ]] || continue
    version="$(candidate_version "$package")"
    [[ -n "$version" ]] || fail "apt knows no package $package on $(system_name)." \
      "Use Debian 12, Debian 13 or Ubuntu 24.04, and see that /etc/apt lists its main archive" \
      "(on Ubuntu: universe too)."
    supported "$version" "$from" "$below" || refuse_version "$package" "$version" "$from" "$below"
  done < <(wanted)
}

as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# A list that cannot be fetched is tried again; after the last try the older lists have to do.
update_lists() {
  local try
  for ((try = 1; try <= UPDATE_TRIES; try++)); do
    if as_root apt-get update -q -o APT::Update::Error-Mode=any -o DPkg::Lock::Timeout=300 \
      >>"$LOG" 2>&1; then
      return 0
    fi
    printf 'apt-get update failed (try %d of %d)\n' "$try" "$UPDATE_TRIES" >&2
    ((try == UPDATE_TRIES)) || sleep $((try * 3))
  done
  printf 'going on with the package lists that are there\n' >&2
}

install_missing() {
  as_root apt-get install -q -y --no-install-recommends -o Acquire::Retries=5 \
    -o DPkg::Lock::Timeout=300 "${MISSING[@]}" >>"$LOG" 2>&1 && return 0
  tail -n 25 "$LOG" >&2
  fail "apt-get could not install ${MISSING[*]}; the whole log is $LOG"
}

SETS="run"
case "${1:-}" in
  "") ;;
  --tests) SETS="run tests" ;;
  --cuda) SETS="run cuda" ;;
  -h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  *)
    printf 'error: expected --tests, --cuda or nothing, found %s\n' "$1" >&2
    exit 2
    ;;
esac

command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
  fail "apt is not on this system; packages.txt lists what to install by other means"
find_missing
if ((${#MISSING[@]} == 0)); then
  exit 0
fi
[[ "$(id -u)" == 0 ]] || command -v sudo >/dev/null ||
  fail "to install ${MISSING[*]}: run this as root, or install sudo"
mkdir -p "$(dirname "$LOG")"
: >"$LOG"
printf 'Installing %d packages with apt: %s\n' "${#MISSING[@]}" "${MISSING[*]}"
update_lists
check_candidates
install_missing
find_missing
((${#MISSING[@]} == 0)) || fail "still missing after apt-get install: ${MISSING[*]}"
