"""The rules in deploy/prometheus, and the promtool tests of them, as the checks and the live test
read them."""

import dataclasses
import sys

import promql

try:
    import yaml
except ImportError:
    sys.exit(f"error: {sys.executable} has no module yaml; install the package python3-yaml")


@dataclasses.dataclass(frozen=True)
class Rule:
    file: str
    name: str  # of the alert or of the record
    is_alert: bool
    expr: str
    labels: dict
    annotations: dict


def read(root):
    """Every rule, by file and place."""
    rules = []
    for path in sorted((root / "deploy/prometheus").glob("*.rules.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                rules.append(Rule(
                    path.name, rule.get("alert") or rule["record"], "alert" in rule, rule["expr"],
                    rule.get("labels", {}), rule.get("annotations", {})))
    return rules


def records(rules):
    """Recording rules: name → the labels that they keep (those that they are grouped by, or those
    of the records that they are made of)."""
    found = {}
    for rule in rules:
        if not rule.is_alert:
            found[rule.name] = promql.grouping_labels(rule.expr)
    for rule in rules:
        if not rule.is_alert:
            for selector in promql.selectors(rule.expr):
                found[rule.name] = found[rule.name] | found.get(selector.metric, set())
    return found


def tests(root):
    """Every case of the promtool tests."""
    for path in sorted((root / "tests/deploy").glob("*_test.yml")):
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]


def scaled(text, scale, shortest_range_s, shortest_for_s):
    """A rule file's text with every range and every `for` `scale` times as long, not below the
    shortest; all else stays as it is."""
    content = yaml.safe_load(text)
    for group in content["groups"]:
        for rule in group["rules"]:
            rule["expr"] = promql.with_durations(
                rule["expr"], lambda length: max(length * scale, shortest_range_s))
            if "for" in rule:
                length = max(promql.seconds(rule["for"]) * scale, shortest_for_s)
                rule["for"] = f"{round(length * 1000)}ms"
    return yaml.safe_dump(content, sort_keys=False)
