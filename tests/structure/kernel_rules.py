"""What holds for every kernel of the CUDA backend."""

import pathlib
import re

import tree

_KERNEL = re.compile(r"__global__[^{;]*?(\w+)\s*\([^{;()]*\)\s*\{")
_COMMENT = re.compile(r"//[^\n]*")
_START = ["LetNextStart()", "AwaitPrevious()"]
# Read weights or a batch's plan in between; the emulation looks whether all of their threads wait.
_WAIT_LATER = {"AttendSplitKernel", "FewRowsKernel", "MergeSplitsKernel", "RopeAndCacheKernel"}


def kernel_starts(root):
    """Kernels that would read what the one ahead still writes, or keep the one behind waiting."""
    for path in tree.files(root):
        if path.parts[0] != "kernels" or path.suffix not in {".cu", ".cuh"}:
            continue
        text = _COMMENT.sub("", (pathlib.Path(root) / path).read_text(encoding="utf-8"))
        kernels = list(_KERNEL.finditer(text))
        if len(kernels) != text.count("__global__"):
            yield f"{path}: kernels that are not understood"
        for kernel in kernels:
            name = kernel.group(1)
            expected = _START[:1] if name in _WAIT_LATER else _START
            begin = [part.strip() for part in text[kernel.end():].split(";", 2)[:len(expected)]]
            if begin != expected:
                yield f"{path}: {name} does not begin with {'; '.join(expected)}"
