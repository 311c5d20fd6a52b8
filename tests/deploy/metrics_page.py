"""The metrics that docs/metrics.md has, and what an expression may do with each."""

import dataclasses
import re

import promql

# Labels of targets, which Prometheus adds to every series: docs/dashboards.md.
TARGET_LABELS = {"namespace", "model", "component", "shard", "pod", "instance", "job"}
# Series that are Prometheus's own, with the labels that may be asked of them.
PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
# From NVIDIA's exporter, on the dashboard Process in a row of its own.
DCGM = re.compile(r"DCGM_FI_[A-Z0-9_]+")
_ROW = re.compile(r"\| `(?P<name>[a-z0-9_]+)` \|(?P<kind>[^|]*)\|[^|]*\|(?P<labels>[^|]*)\|")
_SERIES = re.compile(r"_(bucket|sum|count)$")


@dataclasses.dataclass(frozen=True)
class Metric:
    kind: str  # counter, gauge, histogram
    labels: frozenset


def read(path):
    """name → Metric."""
    metrics = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _ROW.match(line):
            labels = frozenset(re.findall(r"`(\w+)`", match["labels"]))
            metrics[match["name"]] = Metric(match["kind"].strip(), labels)
    return metrics


def family(name, metrics):
    """The metric that a series belongs to: x for x_bucket of a histogram x; None where there is
    none, or where the series of a histogram is asked for by the histogram's name."""
    base = _SERIES.sub("", name)
    if base != name and base in metrics and metrics[base].kind == "histogram":
        return base
    return name if name in metrics and metrics[name].kind != "histogram" else None


def labels_of(name, metrics, records):
    """The labels that a series may have, None where it is unknown."""
    if name in PROMETHEUS:
        return TARGET_LABELS | PROMETHEUS[name]
    if name in records:
        return records[name] | TARGET_LABELS
    base = family(name, metrics)
    if base is None:
        return None
    return set(metrics[base].labels) | TARGET_LABELS | ({"le"} if name.endswith("_bucket") else set())


def faults(expr, metrics, records):
    """What an expression asks for that there is not. `records`: name → labels, of recording
    rules."""
    allowed = set()
    for selector in promql.selectors(expr):
        if DCGM.fullmatch(selector.metric):
            continue
        labels = labels_of(selector.metric, metrics, records)
        if labels is None:
            yield f"{selector.metric} is neither in docs/metrics.md nor a recording rule"
            continue
        allowed |= labels
        for label, _, _ in selector.matchers:
            if label not in labels:
                yield f"{selector.metric} has no label {label}"
        base = family(selector.metric, metrics)
        if base and metrics[base].kind != "gauge" and not selector.is_range:
            yield f"{selector.metric} is a {metrics[base].kind}: expected rate() or increase() of it"
    # An expression of DCGM metrics alone has labels that only the exporter knows.
    if allowed:
        for label in sorted(promql.grouping_labels(expr) - allowed):
            yield f"no metric of the expression has the label {label}"
