"""The chart's files, and what a test may ask of them without helm."""

import copy
import json
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "tramontane"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))

# The least that a user must give.
MODEL = {"model": {"pvc": {"claimName": "models"}}}


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def defaults():
    return read_yaml(CHART / "values.yaml")


def schema():
    return json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def merged(base, over):
    """`over` laid on `base` as helm does: maps key by key, everything else replaced."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def at(path, value):
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def templates():
    """Text of each template, by path within the chart."""
    folder = CHART / "templates"
    return {str(path.relative_to(CHART)): path.read_text(encoding="utf-8")
            for path in sorted(folder.rglob("*")) if path.is_file()}
