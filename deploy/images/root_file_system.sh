#!/usr/bin/env bash
# Puts together the root file systems of the images out of the build's own system.
#
#   root_file_system.sh runtime DIR PROGRAM…    what all programs of the build need: the shared
#                       libraries that they load, users, CA certificates, licences
#   root_file_system.sh programs DIR PROGRAM…   the programs, without symbols, or a program of the
#                       system's by its path; fails where one needs a library that the runtime
#                       beside DIR has not. Symbols go to symbols/usr/lib/debug beside DIR, where
#                       gdb looks for them
#
# VARIANT in the environment says which build: cpu or cuda.
# Each package that something was taken of has its licence in usr/share/doc and its version in
# var/lib/dpkg/status.d, where scanners look for it.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
PRESET="$("$ROOT/deploy/images/preset.sh" "${VARIANT-}")"
readonly PRESET
readonly BIN="$ROOT/build/$PRESET/bin"
readonly CUDA="$ROOT/build/tools/cuda"
readonly USER_ID=65532
# Packages whose code is in the programs: static archives and headers.
readonly LINKED_IN=(libabsl-dev libgrpc++-dev libprotobuf-dev libspdlog-dev nlohmann-json3-dev
  prometheus-cpp-dev)
readonly COPIED=(ca-certificates base-files)

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints where program $1 is: a name is one of the build's.
path_of() {
  [[ "$1" == /* ]] && printf '%s' "$1" || printf '%s' "$BIN/$1"
}

# Prints the paths of the shared libraries and the loader that programs "$@" load.
libraries() {
  local program listing
  for program in "$@"; do
    listing="$(ldd "$(path_of "$program")")" || fail "ldd $program failed"
    ! grep -q 'not found' <<<"$listing" || fail "$program: $(grep 'not found' <<<"$listing")"
    awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' <<<"$listing"
  done | sort -u
}

# Prints the package that file $1 belongs to. Debian lists a file of /usr/lib under /lib, too.
package_of() {
  local path="$1" owner
  for path in "$1" "$(readlink -f "$1")" "${1#/usr}" "/usr$1"; do
    if owner="$(dpkg-query -S "$path" 2>/dev/null)"; then
      printf '%s\n' "${owner%%:*}"
      return
    fi
  done
  fail "no package owns $1"
}

# Keeps licence and version of package $1 in file system $2.
record_package() {
  local package="$1" root="$2"
  [[ ! -e "$root/var/lib/dpkg/status.d/$package" ]] || return 0
  mkdir -p "$root/var/lib/dpkg/status.d"
  install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
  dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$package"
}

# Keeps licence and version of CUDA's static runtime, which is in the programs, in file system $1.
record_cuda() {
  local root="$1" name=nvidia-cuda-runtime
  install -D -m 644 "$CUDA/LICENSE" "$root/usr/share/doc/$name/copyright"
  printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\n' "$name" \
    "$(sed -n "s/^$name==\([0-9.]*\) .*/\1/p" "$CUDA/cuda_wheels.txt")" \
    >"$root/var/lib/dpkg/status.d/$name"
}

copy_libraries() {
  local root="$1" library target
  shift
  for library in $(libraries "$@"); do
    # /lib and /lib64 are links to those of /usr.
    target="$root/usr/${library#/}"
    target="${target/\/usr\/usr\//\/usr\/}"
    install -D -m 755 "$(readlink -f "$library")" "$target"
    record_package "$(package_of "$library")" "$root"
  done
}

write_users() {
  cat >"$1/etc/passwd" <<PASSWD
root:x:0:0:root:/:/usr/sbin/nologin
tramontane:x:$USER_ID:$USER_ID:Tramontane:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/:/usr/sbin/nologin
PASSWD
  cat >"$1/etc/group" <<GROUP
root:x:0:
tramontane:x:$USER_ID:
nogroup:x:65534:
GROUP
}

make_runtime() {
  local root="$1" package
  shift
  mkdir -p "$root"/{etc,tmp,usr/bin,usr/lib,usr/lib64,usr/share}
  chmod 1777 "$root/tmp"
  ln -s usr/bin "$root/bin"
  ln -s usr/lib "$root/lib"
  ln -s usr/lib64 "$root/lib64"
  copy_libraries "$root" "$@"
  for package in "${LINKED_IN[@]}" "${COPIED[@]}"; do
    record_package "$package" "$root"
  done
  [[ "$PRESET" != cuda ]] || record_cuda "$root"
  write_users "$root"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  install -D -m 644 /etc/os-release "$root/usr/lib/os-release"
  ln -s ../usr/lib/os-release "$root/etc/os-release"
  cp -a /usr/share/common-licenses "$root/usr/share/common-licenses"
  install -D -m 644 "$ROOT/LICENSE" "$root/usr/share/doc/tramontane/copyright"
}

add_programs() {
  local root="$1" runtime symbols program library name
  shift
  runtime="$(dirname "$root")/runtime"
  [[ -d "$runtime" ]] || fail "no $runtime: make the runtime first"
  for library in $(libraries "$@"); do
    name="$(basename "$library")"
    [[ -n "$(find "$runtime/usr/lib" "$runtime/usr/lib64" -name "$name" -print -quit)" ]] ||
      fail "$name, which one of $* needs, is not in the runtime: name that program there, too"
  done
  symbols="$(dirname "$root")/symbols/usr/lib/debug/usr/bin"
  mkdir -p "$root/usr/bin" "$symbols"
  for program in "$@"; do
    if [[ "$program" == /* ]]; then
      install -m 755 "$program" "$root/usr/bin/"
      record_package "$(package_of "$program")" "$root"
      continue
    fi
    objcopy --only-keep-debug "$BIN/$program" "$symbols/$program.debug"
    strip -o "$root/usr/bin/$program" "$BIN/$program"
    objcopy --add-gnu-debuglink="$symbols/$program.debug" "$root/usr/bin/$program"
    chmod 755 "$root/usr/bin/$program"
  done
}

if (($# < 3)); then
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
readonly COMMAND="$1" DIRECTORY="$2"
shift 2
[[ ! -e "$DIRECTORY" ]] || fail "$DIRECTORY is there already"
case "$COMMAND" in
  runtime) make_runtime "$DIRECTORY" "$@" ;;
  programs) add_programs "$DIRECTORY" "$@" ;;
  *) fail "$COMMAND: expected runtime or programs" ;;
esac
