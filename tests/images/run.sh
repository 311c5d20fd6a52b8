#!/usr/bin/env bash
# Builds the images, checks what is in them, and runs the system in containers: the golden tokens,
# then an expert shard that goes from 1 to 4 replicas and back under load (docs/images.md).
#
#   tests/images/run.sh              builds, then tests
#   tests/images/run.sh --no-build   tests the images that are there
#
# As root, with buildah, podman, netavark and aardvark-dns. No part of tests/run.sh: it needs a
# container engine. The environment:
#   PREFIX, TAG, VARIANT, BASE_IMAGE, APT_CONF, CCACHE_DIR, PIP_CONF, PIP_CERT
#                       as of deploy/images/build.sh; the variant cuda runs on the CPU here
#   PODMAN_OPTIONS      options of podman itself, such as "--runtime runc"
#   CONTAINER_OPTIONS   options of podman run, such as "--ulimit nofile=1024:1024"
#   LOAD_SECONDS        seconds of load at each number of replicas; default 20
#   TABLE               a file for the table of results; default: standard output only
# Exit codes: 0 passed; 1 a check failed; 2 usage; 3 no container engine.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build=yes
for option in "$@"; do
  case "$option" in
    --no-build) build=no ;;
    -h | --help)
      sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *)
      printf 'error: %s: expected --no-build or nothing\n' "$option" >&2
      exit 2
      ;;
  esac
done

for program in podman buildah python3; do
  command -v "$program" >/dev/null || {
    printf 'error: no %s; this test runs containers. On Debian: apt-get install %s\n' "$program" \
      "podman buildah runc netavark aardvark-dns python3 debootstrap" >&2
    exit 3
  }
done
[[ "$(id -u)" == 0 ]] || {
  echo 'error: run this as root: it reads file systems of images and scrapes them over their bridge' >&2
  exit 3
}

export PREFIX="${PREFIX:-localhost/tramontane}"
export TAG="${TAG:-test}"
export VARIANT="${VARIANT:-cpu}"
if [[ "$build" == yes ]]; then
  "$ROOT/tests/images/base_image.sh" "${BASE_IMAGE:-debian:12-slim}"
  BUILDER=buildah "$ROOT/deploy/images/build.sh"
  # What was built must say so.
  EXPECTED_REVISION="$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || true)"
  export EXPECTED_REVISION
fi
exec python3 -B "$ROOT/tests/images/images_test.py"
