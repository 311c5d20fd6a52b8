"""What an image holds, checked on its configuration and on its file system."""

import json
import os
import pathlib
import re
import stat
import subprocess

from podman import image_name, podman

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_MIB = 1 << 20
# Target: what is in usr/bin, the ports, the entrypoint, and the largest size in MiB.
TARGETS = {
    "coordinator": ({"coordinator", "tramontanectl"}, {8470, 8471, 9470}, "coordinator", 36),
    "expert_worker": ({"expert_worker", "tramontanectl"}, {8480, 8471, 9470}, "expert_worker", 36),
    "attention_worker": ({"attention_worker", "tramontanectl"}, {8480, 8471, 9470},
                         "attention_worker", 36),
    "client": ({"generate", "load_client", "sleep", "tramontanectl"}, set(), None, 36),
}
_SERVERS = {"coordinator", "expert_worker", "attention_worker"}
_USER = "65532:65532"
# What the tested images are of, cpu or cuda, and what CUDA's kernels add to the largest size.
VARIANT = os.environ.get("VARIANT", "cpu")
_CUDA_MIB = 8
# By which a container runtime knows that a container wants the machine's GPUs.
_CUDA_ENVIRONMENT = {"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
_LABELS = ["title", "description", "vendor", "version", "revision", "created", "licenses",
           "base.name"]
_NOT_OURS = re.compile(
    r"^(.*-)?(gcc|g\+\+|c\+\+|cc|cc1|cc1plus|clang|ld|as|make|ninja|cmake|apt.*|dpkg.*|perl.*|"
    r"python.*|nvcc.*|cicc|ptxas|fatbinary|nvlink|cudafe.*|sh|bash|dash|busybox|su|sudo|mount|curl|wget)(-[\d.]+)?$")


def _version():
    """The project's version in CMakeLists.txt."""
    text = (_ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"^project\(tramontane VERSION ([0-9.]+)", text, re.MULTILINE).group(1)


def _configuration_faults(target, image):
    _, ports, entrypoint, limit_mib = TARGETS[target]
    config = image["Config"]
    if config.get("User") != _USER:
        yield f"user: expected {_USER}, found {config.get('User')!r}"
    exposed = {int(port.split("/")[0]) for port in config.get("ExposedPorts") or {}}
    if exposed != ports:
        yield f"ports: expected {sorted(ports)}, found {sorted(exposed)}"
    expected = [f"/usr/bin/{entrypoint}"] if entrypoint else []
    if (config.get("Entrypoint") or []) != expected:
        yield f"entrypoint: expected {expected}, found {config.get('Entrypoint')}"
    labels = config.get("Labels") or {}
    for label in _LABELS:
        if not labels.get(f"org.opencontainers.image.{label}"):
            yield f"label org.opencontainers.image.{label}: missing or empty"
    if labels.get("org.opencontainers.image.version") != _version():
        yield f"label version: expected {_version()}"
    revision = labels.get("org.opencontainers.image.revision", "")
    if not revision.startswith(os.environ.get("EXPECTED_REVISION", "")):
        yield f"label revision: expected {os.environ['EXPECTED_REVISION']}, found {revision}"
    if labels.get("tramontane.variant") != VARIANT:
        yield (f"label tramontane.variant: expected {VARIANT}, found "
               f"{labels.get('tramontane.variant')!r}")
    environment = {each for each in config.get("Env") or [] if each.startswith("NVIDIA_")}
    wanted = _CUDA_ENVIRONMENT if VARIANT == "cuda" else set()
    if environment != wanted:
        yield f"environment: expected {sorted(wanted)}, found {sorted(environment)}"
    limit_mib += _CUDA_MIB if VARIANT == "cuda" else 0
    if image["Size"] > limit_mib * _MIB:
        yield f"size: {image['Size'] / _MIB:.1f} MiB, more than {limit_mib}"


def _walk(root):
    """(path in the image, path here, lstat) of everything in the file system."""
    for folder, subfolders, names in os.walk(root):
        for name in subfolders + names:
            path = os.path.join(folder, name)
            yield "/" + os.path.relpath(path, root), path, os.lstat(path)


def _is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _file_faults(root):
    for name, path, status in _walk(root):
        if stat.S_ISLNK(status.st_mode):
            if not os.path.lexists(os.path.join(root, os.path.realpath(path).lstrip("/"))) and \
                    not os.path.exists(path):
                yield f"{name}: a link that leads nowhere"
            continue
        if status.st_uid != 0:
            yield f"{name}: belongs to user {status.st_uid}; expected root, who does not run here"
        if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"{name}: runs with another user's rights (mode {status.st_mode & 0o7777:o})"
        if status.st_mode & stat.S_IWOTH and name != "/tmp":
            yield f"{name}: everybody may write it (mode {status.st_mode & 0o7777:o})"
        if not stat.S_ISREG(status.st_mode):
            continue
        # The runtime is in the programs, the driver's library is the machine's.
        if re.match(r"lib(cuda|cudart|cublas|nvidia|nvrtc|nvvm)\b", os.path.basename(name)):
            yield f"{name}: a library of CUDA's"
        if _NOT_OURS.match(os.path.basename(name)) and "/doc/" not in name and \
                "/status.d/" not in name:
            yield f"{name}: a tool that has no place in the image"
        if status.st_mode & 0o111 and not _is_elf(path):
            yield f"{name}: a script, and there is no shell"


def _program_faults(target, root):
    programs = TARGETS[target][0]
    found = set(os.listdir(os.path.join(root, "usr/bin")))
    if found != programs:
        yield f"usr/bin: expected {sorted(programs)}, found {sorted(found)}"
    for program in sorted(programs & found):
        sections = subprocess.run(["readelf", "--section-headers", "--dynamic", "--wide",
                                   os.path.join(root, "usr/bin", program)],
                                  capture_output=True, text=True, check=True).stdout
        if ".debug_" in sections or ".symtab" in sections:
            yield f"usr/bin/{program}: not stripped"
        if needed := re.findall(r"\(NEEDED\).*\[(lib(?:cuda|cublas|nv)[^]]*)\]", sections):
            yield f"usr/bin/{program}: needs {needed}, which no image has"
        # Machine code for GPUs.
        if program in _SERVERS and (".nv_fatbin" in sections) != (VARIANT == "cuda"):
            yield f"usr/bin/{program}: expected kernels of the variant {VARIANT}"


def _licence_faults(root):
    packages = os.listdir(os.path.join(root, "var/lib/dpkg/status.d"))
    if len(packages) < 10:
        yield f"var/lib/dpkg/status.d: only {len(packages)} packages"
    for package in [*packages, "tramontane"]:
        if not os.path.isfile(os.path.join(root, "usr/share/doc", package, "copyright")):
            yield f"usr/share/doc/{package}/copyright: missing"


def check_image(target):
    """(faults, size in MiB, size of the layer that no other image shares in MiB)."""
    name = image_name(target)
    image = json.loads(podman("image", "inspect", name).stdout)[0]
    faults = list(_configuration_faults(target, image))
    root = podman("image", "mount", name).stdout.strip()
    try:
        faults += [*_file_faults(root), *_program_faults(target, root), *_licence_faults(root)]
        own = sum(os.path.getsize(os.path.join(root, "usr/bin", program))
                  for program in os.listdir(os.path.join(root, "usr/bin")))
    finally:
        podman("image", "unmount", name)
    return [f"{target}: {fault}" for fault in faults], image["Size"] / _MIB, own / _MIB
