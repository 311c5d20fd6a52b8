#!/usr/bin/env bash
# build.sh [TARGET…]: builds the images: coordinator expert_worker attention_worker client, or those
# named, of which debug_symbols may be one. They are called PREFIX/coordinator:TAG,
# PREFIX/expert-worker:TAG and so on.
#
# The environment:
#   PREFIX      default tramontane
#   TAG         default the version in CMakeLists.txt, with -cuda where VARIANT=cuda
#   BUILDER     buildah, podman or docker; default the first of them that is installed
#   VARIANT     cpu (the default), or cuda: the servers can compute on NVIDIA's GPUs, too
#   BASE_IMAGE  default debian:12-slim
#   ARCHIVES    a directory: each image is also written there, as TARGET.tar (a docker archive)
#   APT_CONF    a file of apt's configuration for the build alone, such as one that names a proxy
#   CCACHE_DIR  a directory of ccache's to compile through
#   PIP_CONF    with VARIANT=cuda, a file of pip's configuration for the build alone, such as one that
#               names an index
#   PIP_CERT    with VARIANT=cuda, a file of the CA certificates that pip is to trust in the build
# The last four need buildah or podman.
# buildah and podman read their own, such as BUILDAH_ISOLATION=chroot.
# Exit codes: 0 built; 1 not built; 2 usage; 3 no builder is installed.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly TARGETS=(coordinator expert_worker attention_worker client)
readonly PREFIX="${PREFIX:-tramontane}"
readonly VARIANT="${VARIANT:-cpu}"
readonly BASE_IMAGE="${BASE_IMAGE:-debian:12-slim}"

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  exit "$1"
}

fail() {
  local code="$1"
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

find_builder() {
  local program
  for program in buildah podman docker; do
    if command -v "$program" >/dev/null; then
      printf '%s' "$program"
      return
    fi
  done
  fail 3 "none of buildah, podman and docker is installed; one is needed to build images"
}

project_version() {
  sed -n 's/^project(tramontane VERSION \([0-9.]*\).*/\1/p' "$ROOT/CMakeLists.txt"
}

# The commit, with -dirty where what the images are made of differs from it; empty without git.
revision() {
  local paths=(CMakeLists.txt CMakePresets.json model kernels proto expert_worker
    attention_worker coordinator deploy/Dockerfile deploy/images deploy/local)
  local commit
  commit="$(git -C "$ROOT" rev-parse HEAD 2>/dev/null)" || return 0
  [[ -z "$(git -C "$ROOT" status --porcelain -- "${paths[@]}")" ]] || commit+="-dirty"
  printf '%s' "$commit"
}

image_of() {
  printf '%s/%s:%s' "$PREFIX" "${1//_/-}" "$TAG"
}

# Refuses variable $1, which names what the build is to mount, where the builder cannot.
require_mounts() {
  [[ "$BUILDER" != docker ]] ||
    fail 2 "$1 needs buildah or podman: docker mounts nothing in a build"
}

# Adds to OPTIONS that the file which variable $1 names, if any, is at $2 in the build.
mount_file() {
  local file="${!1:-}"
  [[ -n "$file" ]] || return 0
  require_mounts "$1"
  [[ -f "$file" ]] || fail 2 "$1=$file: no such file"
  OPTIONS+=(--volume "$(realpath "$file"):$2:ro")
}

# Fills OPTIONS with what is the same for every image.
collect_options() {
  local label=org.opencontainers.image
  OPTIONS=(--build-arg "BASE_IMAGE=$BASE_IMAGE" --build-arg "VARIANT=$VARIANT"
    --label "$label.version=$(project_version)" --label "$label.revision=$(revision)"
    --label "$label.created=$(git -C "$ROOT" show -s --format=%cI HEAD 2>/dev/null || true)"
    --label "$label.base.name=$BASE_IMAGE")
  case "$BUILDER" in
    buildah | podman) OPTIONS+=(--layers --format oci --ignorefile "$ROOT/.dockerignore") ;;
    docker) ;;
    *) fail 2 "BUILDER=$BUILDER: expected buildah, podman or docker" ;;
  esac
  mount_file APT_CONF /etc/apt/apt.conf.d/99build
  if [[ "$VARIANT" == cuda ]]; then
    mount_file PIP_CONF /etc/pip.conf
    mount_file PIP_CERT /etc/pip_cert.pem
    [[ -z "${PIP_CERT:-}" ]] || OPTIONS+=(--build-arg PIP_CERT=/etc/pip_cert.pem)
  fi
  if [[ -n "${CCACHE_DIR:-}" ]]; then
    require_mounts CCACHE_DIR
    mkdir -p "$CCACHE_DIR"
    OPTIONS+=(--volume "$(realpath "$CCACHE_DIR"):/ccache" --build-arg CCACHE_DIR=/ccache)
  fi
}

write_archive() {
  local image="$1" file="$2"
  rm -f "$file"
  case "$BUILDER" in
    buildah) buildah push -q "$image" "docker-archive:$file:$image" ;;
    podman) podman save -q --format docker-archive -o "$file" "$image" ;;
    docker) docker save -o "$file" "$image" ;;
  esac
}

for target in "$@"; do
  [[ "$target" != -h && "$target" != --help ]] || usage 0
  [[ " ${TARGETS[*]} debug_symbols " == *" $target "* ]] ||
    fail 2 "$target: expected one of ${TARGETS[*]} debug_symbols"
done
"$ROOT/deploy/images/preset.sh" "$VARIANT" >/dev/null
suffix=""
[[ "$VARIANT" == cpu ]] || suffix="-$VARIANT"
TAG="${TAG:-$(project_version)$suffix}"
BUILDER="${BUILDER:-$(find_builder)}"
collect_options
(($# > 0)) || set -- "${TARGETS[@]}"
for target in "$@"; do
  image="$(image_of "$target")"
  "$BUILDER" build "${OPTIONS[@]}" --target "$target" --tag "$image" \
    -f "$ROOT/deploy/Dockerfile" "$ROOT"
  if [[ -n "${ARCHIVES:-}" ]]; then
    mkdir -p "$ARCHIVES"
    write_archive "$image" "$(realpath "$ARCHIVES")/$target.tar"
  fi
  printf 'built %s\n' "$image"
done
