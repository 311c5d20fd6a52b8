#!/usr/bin/env bash
# model_image.sh [NAME] [ARCHIVE]: an image that copies the bundled model into /model, for the chart's
# model.init.containers. The distribution's static busybox and the files, nothing else. NAME defaults
# to localhost/tramontane/demo-model:dev; with ARCHIVE it is also saved there for `ctr images import`.
# As root; needs buildah and busybox-static.
set -euo pipefail

readonly ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
readonly NAME="${1:-localhost/tramontane/demo-model:dev}"
readonly ARCHIVE="${2:-}"

for program in buildah busybox; do
  command -v "$program" >/dev/null || {
    printf 'error: %s is not there; apt-get install buildah busybox-static\n' "$program" >&2
    exit 1
  }
done
container="$(buildah from scratch)"
trap 'buildah rm "$container" >/dev/null' EXIT
buildah copy --quiet "$container" "$(command -v busybox)" /bin/busybox >/dev/null
buildah copy --quiet "$container" "$ROOT/deploy/demo_model" /demo_model >/dev/null
buildah config --user 65532:65532 --entrypoint '["/bin/busybox", "cp", "-r", "/demo_model/.", "/model/"]' \
  "$container"
buildah commit --quiet "$container" "$NAME" >/dev/null
if [[ -n "$ARCHIVE" ]]; then
  rm -f "$ARCHIVE"
  buildah push --quiet "$NAME" "docker-archive:$ARCHIVE:$NAME"
fi
printf '%s\n' "$NAME"
