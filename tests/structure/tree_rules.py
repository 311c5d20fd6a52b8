"""What holds for every file: names, size, header guards, unfinished marks, links in documents."""

import pathlib
import re

import tree

_TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "attention_worker",
    "coordinator", "deploy", "docs", "expert_worker", "helm", "kernels", "model", "proto", "tests",
}
_MAX_LINES = 400
_SOURCES = {".h", ".cc", ".cu", ".cuh", ".proto", ".py", ".sh", ".cmake"}
_EMPTY_WORDS = {"common", "data", "helper", "helpers", "info", "manager", "misc", "node", "util",
                "utils"}
# Spelled in halves, so that this file keeps its own rule.
_UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "not implement" + "ed"]))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"^([a-z]+:|#)")


def top_level(root):
    """Files and folders at the top that the layout does not name."""
    for name in sorted({path.parts[0] for path in tree.files(root)}):
        if name not in _TOP_LEVEL and not name.startswith("."):
            yield f"{name}: not one of {', '.join(sorted(_TOP_LEVEL))}"


def file_names(root):
    """Names that say nothing about what is in the file."""
    for path in tree.files(root):
        if path.suffix in _SOURCES:
            words = {word for part in path.with_suffix("").parts
                     for word in part.lower().split("_")}
            for word in sorted(words & _EMPTY_WORDS):
                yield f"{path}: '{word}' does not say what it is"


def file_size(root):
    """Sources that are too long to be read in one go."""
    for path, lines in tree.sources(root, _SOURCES):
        if len(lines) > _MAX_LINES:
            yield f"{path}: {len(lines)} lines; at most {_MAX_LINES}"


def header_guards(root):
    """Headers whose guard is not made of their path."""
    for path, lines in tree.sources(root, {".h", ".cuh"}):
        guard = "TRAMONTANE_" + re.sub(r"\W", "_", str(path)).upper() + "_"
        if f"#ifndef {guard}" not in lines or f"#define {guard}" not in lines:
            yield f"{path}: expected the guard {guard}"


def unfinished(root):
    """Marks of work that was left."""
    for path, lines in tree.sources(root, _SOURCES | {".md", ".txt"}):
        for number, line in enumerate(lines, start=1):
            if match := _UNFINISHED.search(line):
                yield f"{path}:{number}: {match.group(0)}"


def doc_links(root):
    """Relative links of Markdown files that lead nowhere."""
    for path, lines in tree.sources(root, {".md"}):
        for number, line in enumerate(lines, start=1):
            for link in _LINK.findall(line):
                target = link.split("#")[0]
                if not _ELSEWHERE.match(link) and not (
                        pathlib.Path(root) / path.parent / target).exists():
                    yield f"{path}:{number}: {link}: there is no such file"
