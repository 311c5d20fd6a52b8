"""The files of the source tree, as the structure rules read them."""

import os
import pathlib
import re
import shutil
import subprocess

_NOT_SOURCES = {"build", "__pycache__"}
_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def files(root):
    """Paths relative to `root`, sorted: what git tracks or would add; all of it without git."""
    root = pathlib.Path(root)
    names = _git_files(root) if (root / ".git").exists() and shutil.which("git") else None
    return sorted(_walk(root) if names is None else map(pathlib.PurePosixPath, names))


def _git_files(root):
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, check=False)
    if listing.returncode != 0:  # e.g. the checkout of another user
        return None
    names = listing.stdout.decode().split("\0")
    return [name for name in names if name and (root / name).is_file()]


def _walk(root):
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders
                         if name not in _NOT_SOURCES and not name.startswith(".")]
        relative = pathlib.PurePosixPath(pathlib.Path(folder).relative_to(root).as_posix())
        yield from (relative / name for name in names)


def sources(root, suffixes):
    """(path, lines) of every file with one of the suffixes."""
    for path in files(root):
        if path.suffix in suffixes:
            yield path, (pathlib.Path(root) / path).read_text(encoding="utf-8").splitlines()


def includes(lines):
    """(line number from 1, included name) of C++ source lines."""
    for number, line in enumerate(lines, start=1):
        if match := _INCLUDE.match(line):
            yield number, match.group(1)
