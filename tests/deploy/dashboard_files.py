"""The dashboards in deploy/grafana/dashboards, as the checks and the live test read them."""

import dataclasses
import json
import re

import promql

# What Grafana escapes in values that are matched as expressions.
_SPECIAL = re.compile(r"[\\^$*+?.()|{}\[\]]")


@dataclasses.dataclass(frozen=True)
class Query:
    dashboard: str  # file name
    panel: str      # title; "variable NAME" or "annotation NAME" for those
    expr: str
    legend: str     # with {{label}}
    instant: bool


def read(root):
    """file name → dashboard."""
    folder = root / "deploy/grafana/dashboards"
    return {path.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted(folder.glob("*.json"))}


def panels(dashboard):
    """Panels without rows' headings; those of collapsed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel
        yield from panel.get("panels", [])


def queries(name, dashboard):
    """Every expression of a dashboard: of panels and annotations."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            legend = target["legendFormat"]
            yield Query(name, panel["title"], target["expr"],
                        "" if legend == "__auto" else legend, target["instant"])
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield Query(name, f"annotation {annotation['name']}", annotation["expr"], "", False)


def variables(dashboard):
    """name → variable."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def label_values(variable):
    """The (selector, label) of a variable's label_values(selector, label)."""
    query = variable["query"]["query"]
    inner = query.removeprefix("label_values(").removesuffix(")")
    selector, _, label = inner.rpartition(",")
    if inner == query or not selector:
        raise ValueError(f"expected label_values(selector, label), found {query}")
    return selector.strip(), label.strip()


def substitute(text, values, scrape_interval_s=5, range_s=1800):
    """The text as Grafana sends it: chosen values, and its own intervals. `values`: name → list of
    values, or a string, which is All's."""
    rate_interval = 4 * scrape_interval_s
    own = {"__rate_interval": f"{rate_interval}s", "__interval": f"{scrape_interval_s}s",
           "__range": f"{range_s}s", "__range_s": str(range_s)}
    for name in sorted(promql.variables(text), key=len, reverse=True):
        value = values[name]
        if not isinstance(value, str):
            escaped = [_SPECIAL.sub(r"\\\\\g<0>", part) for part in value]
            value = escaped[0] if len(escaped) == 1 else "(" + "|".join(escaped) + ")"
        text = text.replace("${" + name + "}", value).replace("$" + name, value)
    for name in sorted(own, key=len, reverse=True):
        text = text.replace("$" + name, own[name])
    return text
