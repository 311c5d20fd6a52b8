#!/usr/bin/env bash
# base_image.sh IMAGE: provides a base for the images where no registry can be reached: Debian's
# minimal system, by debootstrap from the mirror that this machine's apt uses. Does nothing where
# there is an image of that name already. As root, with buildah and debootstrap.
# Exit codes: 0 it is there; 1 it could not be made; 3 a program is missing.
set -euo pipefail

readonly IMAGE="${1:?the name of an image is expected, such as debian:12-slim}"
readonly SUITE=bookworm

if buildah inspect --type image "$IMAGE" >/dev/null 2>&1; then
  exit 0
fi
for program in buildah debootstrap; do
  command -v "$program" >/dev/null || {
    printf 'error: no %s; it is needed to make %s, or pull that image first\n' "$program" "$IMAGE" >&2
    exit 3
  }
done

# Prints apt's sources of this machine for the suite, its updates and its security fixes.
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite="$SUITE" \
      '$3 == "main" && ($2 == suite || $2 == suite "-updates" || $2 == suite "-security") {
         print "deb", $1, $2, $3
       }' | sort -u
}

readonly WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
mirror="$(sources | awk -v suite="$SUITE" '$3 == suite { print $2; exit }')"
[[ -n "$mirror" ]] || {
  printf 'error: this machine'"'"'s apt has no source of Debian %s main\n' "$SUITE" >&2
  exit 1
}
debootstrap --variant=minbase "$SUITE" "$WORK/root" "$mirror" >"$WORK/log" 2>&1 || {
  tail -n 20 "$WORK/log" >&2
  printf 'error: debootstrap from %s failed\n' "$mirror" >&2
  exit 1
}
sources >"$WORK/root/etc/apt/sources.list"
rm -rf "$WORK"/root/var/cache/apt/archives/*.deb "$WORK"/root/var/lib/apt/lists/*
container="$(buildah from scratch)"
buildah add -q "$container" "$WORK/root" / >/dev/null
buildah config --cmd bash "$container"
buildah commit -q --rm "$container" "$IMAGE" >/dev/null
printf 'made %s by debootstrap\n' "$IMAGE"
