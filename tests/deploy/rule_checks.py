"""What holds for every rule and its runbook. Each check yields a sentence for each fault."""

import json
import re
import subprocess
import tempfile

import metrics_page
import rule_files

SEVERITIES = {"critical", "warning"}
RUNBOOK_PARTS = ["Meaning", "Impact", "Look at", "Do"]
_ALERT_NAME = re.compile(r"Tramontane[A-Z][A-Za-z]*")
_RECORD_NAME = re.compile(r"tramontane:[a-z_]+:[a-z0-9_]+")
_HEADING = re.compile(r"^#+ (.*)$")


def named(rules):
    """Alerts and records are named after Tramontane, each name is there once."""
    for rule in rules:
        pattern = _ALERT_NAME if rule.is_alert else _RECORD_NAME
        if not pattern.fullmatch(rule.name):
            yield f"{rule.file}: {rule.name}: expected a name like {pattern.pattern}"
    names = [rule.name for rule in rules]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is there {names.count(name)} times"


def annotated(rules):
    """Every alert says how bad it is, what happens, and where its runbook is."""
    for rule in rules:
        if not rule.is_alert:
            continue
        if rule.labels.get("severity") not in SEVERITIES:
            yield f"{rule.name}: expected a severity of {sorted(SEVERITIES)}"
        runbook = f"docs/alerts.md#{rule.name.lower()}"
        if rule.annotations.get("runbook") != runbook:
            yield f"{rule.name}: expected runbook: {runbook}"
        for annotation in ("summary", "description"):
            if not rule.annotations.get(annotation):
                yield f"{rule.name}: expected a {annotation}"


def exist(root, rules):
    """Every metric and label that a rule asks for exists."""
    metrics = metrics_page.read(root / "docs/metrics.md")
    records = rule_files.records(rules)
    for rule in rules:
        for fault in metrics_page.faults(rule.expr, metrics, records):
            yield f"{rule.file}: {rule.name}: {fault}"


def tested(root, rules):
    """promtool's tests see every alert fire and see it quiet, and every record have a value."""
    fires, quiet, recorded = set(), set(), set()
    for case in rule_files.tests(root):
        for test in case.get("alert_rule_test", []):
            (fires if test.get("exp_alerts") else quiet).add(test["alertname"])
        for test in case.get("promql_expr_test", []):
            if test.get("exp_samples"):
                recorded |= {name for name in re.findall(r"tramontane:[\w:]+", test["expr"])}
    for rule in rules:
        # What alerts are made of is seen in theirs.
        used = any(rule.name in other.expr for other in rules
                   if other.is_alert and other.name in fires)
        if not rule.is_alert and rule.name not in recorded and not used:
            yield f"{rule.name}: no promtool test expects a value"
        if rule.is_alert and rule.name not in fires:
            yield f"{rule.name}: no promtool test sees it fire"
        if rule.is_alert and rule.name not in quiet:
            yield f"{rule.name}: no promtool test sees it quiet"


def runbooks(root, rules):
    """docs/alerts.md has a section for each alert and for no other, with all its parts in order."""
    sections, name = {}, None
    for line in (root / "docs/alerts.md").read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            name = heading.group(1) if heading.group(1).startswith("Tramontane") else None
            if name in sections:
                yield f"docs/alerts.md: {name} is there twice"
            if name:
                sections[name] = []
        elif name and (part := re.match(r"\*\*([^*]+)\.\*\* \S", line)):
            sections[name].append(part.group(1))
    alerts = {rule.name for rule in rules if rule.is_alert}
    for missing in sorted(alerts - set(sections)):
        yield f"docs/alerts.md has no section {missing}"
    for surplus in sorted(set(sections) - alerts):
        yield f"docs/alerts.md: {surplus} is no alert"
    for section in sorted(alerts & set(sections)):
        if sections[section] != RUNBOOK_PARTS:
            yield (f"docs/alerts.md: {section}: expected paragraphs {RUNBOOK_PARTS}, found "
                   f"{sections[section]}")


def panel_names(root, dashboards):
    """What docs/alerts.md and docs/dashboards.md quote as a panel's or a row's name is one."""
    titles = {panel["title"] for dashboard in dashboards.values() for panel in dashboard["panels"]}
    for page in ("docs/alerts.md", "docs/dashboards.md"):
        text = " ".join((root / page).read_text(encoding="utf-8").split())
        for name in sorted(set(re.findall(r'"([^"]+)"', text)) - titles):
            yield f"{page}: no panel is named {name!r}"


def promtool(root, *arguments):
    """promtool's complaints, empty where it has none."""
    run = subprocess.run([str(root / "build/tools/bin/promtool"), *arguments],
                         capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout + run.stderr


def parse(root, expressions):
    """Expressions, as (place, expr), that promtool does not parse."""
    places = {f"expression:{i}": place for i, (place, _) in enumerate(expressions)}
    rules = [{"record": f"expression:{i}", "expr": expr} for i, (_, expr) in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        # JSON is YAML, too.
        json.dump({"groups": [{"name": "expressions", "rules": rules}]}, file)
        file.flush()
        complaint = promtool(root, "check", "rules", file.name)
    if complaint:
        named_places = re.sub(r"expression:\d+", lambda match: places[match.group(0)], complaint)
        yield f"promtool does not parse: {named_places}"
