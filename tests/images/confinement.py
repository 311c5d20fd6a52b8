"""How the kernel confines a server's process: its user, its rights, its root file system."""

import pathlib
import re

_USER_ID = 65532


def _status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.MULTILINE))


def _root_mount_options(pid):
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[4] == "/":
            return fields[5].split(",")
    return []


def check_confinement(container):
    """Faults of a running container."""
    pid = container.inspect()["State"]["Pid"]
    status = _status(pid)
    where = f"{container.name} (pid {pid})"
    faults = []
    for kind in ("Uid", "Gid"):
        if set(status[kind].split()) != {str(_USER_ID)}:
            faults.append(f"{where}: {kind}: expected {_USER_ID}, found {status[kind]}")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[kind], 16) != 0:
            faults.append(f"{where}: {kind}: expected no capability, found {status[kind]}")
    if status["NoNewPrivs"] != "1":
        faults.append(f"{where}: it may gain privileges")
    if "ro" not in _root_mount_options(pid):
        faults.append(f"{where}: its root file system is writable: {_root_mount_options(pid)}")
    return faults
