"""Which folder may depend on which: of includes, and of what CMake links.

model <- kernels <- {expert_worker, attention_worker} <- coordinator; proto <- the gRPC adapters.
"""

import re

import tree

# What a folder may include besides itself.
_MAY_USE = {
    "model": set(),
    "kernels": {"model"},
    "proto": {"model"},
    "expert_worker": {"model", "kernels"},
    "attention_worker": {"model", "kernels"},
    "coordinator": {"model", "kernels", "expert_worker", "attention_worker"},
}
# The process attention_worker can host the experts, too (--experts_in_process).
_ADAPTER_MAY_USE = {"attention_worker": {"expert_worker"}}
_TRANSPORT = re.compile(r"^(grpc/|grpc\+\+/|grpcpp/|google/protobuf/|proto/)")
_CUDA = re.compile(r"^(cuda|cublas|cudnn|nccl|cutlass/)")
_TRANSPORT_TARGET = re.compile(r"grpc|proto", re.IGNORECASE)
_CORE_TARGET = re.compile(r"^(model|kernels|\w+_core)$")
_LINK = re.compile(r"target_link_libraries\s*\(\s*(\S+)([^)]*)\)", re.DOTALL)


def _is_adapter(path):
    """Whether the file may know gRPC and protobuf."""
    return (path.parts[0] in ("proto", "tests") or "grpc" in path.parts[1:-1] or
            path.parts[:2] in (("coordinator", "generate"), ("coordinator", "tramontanectl")) or
            path.name == "main.cc")


def _may_use_cuda(path):
    """The backend, and what stands in for CUDA in its tests."""
    return (path.parts[:2] == ("kernels", "cuda") or
            path.parts[:3] == ("tests", "kernels", "cuda_emulation"))


def _allowed(path):
    """The folders that a file may depend on."""
    folder = path.parts[0]
    own = _MAY_USE[folder] | {folder, "proto"}
    return own | _ADAPTER_MAY_USE.get(folder, set()) if "grpc" in path.parts[1:-1] else own


def _include_fault(path, included):
    folder = path.parts[0]
    target = included.split("/")[0]
    if _CUDA.match(included) and not _may_use_cuda(path):
        return "CUDA headers belong to kernels/cuda"
    if folder == "tests":
        return None
    if target == "tests":
        return "only tests include tests"
    if not _is_adapter(path) and _TRANSPORT.match(included):
        return "a core knows no gRPC and no protobuf; adapters (grpc/, generate/, tramontanectl/, main.cc) do"
    if not _is_adapter(path) and "/grpc/" in included:
        return "a core does not include an adapter"
    if target in _MAY_USE and target not in _allowed(path):
        return f"{folder} may include only {', '.join(sorted(_allowed(path)))}"
    return None


def include_direction(root):
    """Violations as "file:line: include: why"."""
    for path, lines in tree.sources(root, {".h", ".cc", ".cu", ".cuh"}):
        if path.parts[0] not in _MAY_USE and path.parts[0] != "tests":
            yield f"{path}: a source outside the folders {', '.join(sorted(_MAY_USE))}, tests"
            continue
        for number, included in tree.includes(lines):
            if fault := _include_fault(path, included):
                yield f"{path}:{number}: {included}: {fault}"


def link_direction(root):
    """Cores (model, kernels, *_core) that link gRPC or protobuf, and targets that link upwards."""
    for path, lines in tree.sources(root, {".txt"}):
        if path.name != "CMakeLists.txt" or path.parts[0] not in _MAY_USE:
            continue
        text = "\n".join(line.split("#")[0] for line in lines)
        for target, linked in _LINK.findall(text):
            for library in linked.split():
                owner = library.removesuffix("_core")
                if _CORE_TARGET.match(target) and _TRANSPORT_TARGET.search(library):
                    yield f"{path}: {target} links {library}: a core knows no gRPC and no protobuf"
                elif owner in _MAY_USE and owner not in _allowed(path):
                    yield f"{path}: {target} links {library}: against the direction of includes"
