#!/usr/bin/env bash
# Provides clang-format 14 as build/tools/bin/clang-format-14. Every version formats differently, so
# that one is law on every distribution: the system's own, or from apt, or (Debian 13 has none)
# Debian 12's package from the system's mirror, unpacked under build/tools and installed nowhere.
# Does nothing where it is there.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly TOOLS="$ROOT/build/tools"
readonly FORMATTER="$TOOLS/bin/clang-format-14"
readonly LOG="$ROOT/build/install_clang_format.log"
# clang-format and the libraries that it links, as Debian 12 names them.
readonly PACKAGES=(clang-format-14 libclang-cpp14 libllvm14 libz3-4 libedit2 libbsd0 libmd0
  libxml2 libicu72 libffi8 liblzma5)

is_version_14() {
  [[ "$("$1" --version 2>/dev/null)" == *"version 14."* ]]
}

use_system() {
  local system
  system="$(command -v clang-format-14)" && is_version_14 "$system" &&
    ln -sf "$system" "$FORMATTER"
}

as_root() {
  if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

install_with_apt() {
  [[ "$(apt-cache policy clang-format-14 2>/dev/null)" == *"Candidate: 1"* ]] &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
      -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 clang-format-14 >>"$LOG" 2>&1 &&
    use_system
}

# The address of the Debian mirror that this system's own main archive comes from.
mirror() {
  apt-get indextargets --format '$(COMPONENT) $(CREATED_BY) $(ORIGIN) $(LABEL) $(REPO_URI)' |
    sed -n 's/^main Packages Debian Debian //p' | head -n 1
}

unpack_from_debian_12() {
  local state="$TOOLS/apt" uri package options
  uri="$(mirror)"
  [[ -n "$uri" ]] || return 1
  rm -rf "$state" "$TOOLS/debian_12"
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$TOOLS/debian_12"
  : >"$state/status"
  printf 'deb %s bookworm main\n' "$uri" >"$state/sources.list"
  options=(-q -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=5
    -o APT::Update::Error-Mode=any -o Acquire::Languages=none
    -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$state/lists" -o Dir::State::Status="$state/status"
    -o Dir::Cache="$state" -o Dir::Cache::Archives="$state/archives")
  apt-get "${options[@]}" update >>"$LOG" 2>&1 || return 1
  (cd "$state" && apt-get "${options[@]}" download "${PACKAGES[@]}" >>"$LOG" 2>&1) || return 1
  for package in "$state"/*.deb; do
    dpkg-deb -x "$package" "$TOOLS/debian_12" || return 1
  done
  rm -rf "$state"
  cat >"$FORMATTER" <<'WRAPPER'
#!/usr/bin/env bash
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/../debian_12" && pwd)"
libraries="$(printf '%s:' "$here"/usr/lib/*-linux-gnu "$here"/lib/*-linux-gnu)"
LD_LIBRARY_PATH="$libraries" exec "$here/usr/bin/clang-format-14" "$@"
WRAPPER
  chmod +x "$FORMATTER"
  is_version_14 "$FORMATTER"
}

if is_version_14 "$FORMATTER"; then
  exit 0
fi
mkdir -p "$TOOLS/bin"
rm -f "$FORMATTER"
if use_system; then
  exit 0
fi
printf 'Installing clang-format 14\n'
: >"$LOG"
install_with_apt || unpack_from_debian_12 || {
  tail -n 20 "$LOG" >&2
  printf 'error: clang-format 14 could not be installed (the whole log is %s);' "$LOG" >&2
  printf ' put a clang-format-14 on the PATH\n' >&2
  exit 1
}
