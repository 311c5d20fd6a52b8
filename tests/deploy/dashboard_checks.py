"""What holds for every dashboard. Each check yields a sentence for each fault."""

import json
import subprocess
import sys

import dashboard_files
import metrics_page
import promql

COLUMNS = 24
NEEDED_VARIABLES = {
    "serving.json": {"datasource", "namespace", "model"},
    "experts.json": {"datasource", "namespace", "model", "shard"},
    "process.json": {"datasource", "namespace", "model", "shard"}}
MIN_SCHEMA_VERSION = 39
# Metrics that no panel shows, each with the reason.
NOT_SHOWN = {}


def generated(root, dashboards):
    """The files are what deploy/grafana/generate.py writes."""
    run = subprocess.run([sys.executable, "-B", str(root / "deploy/grafana/generate.py"), "--check"],
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        yield run.stderr.strip()
    for name in sorted(set(NEEDED_VARIABLES) - set(dashboards)):
        yield f"{name}: expected in deploy/grafana/dashboards"


def canonical(root, dashboards):
    """Sorted keys, two spaces, a newline at the end: a change is a small diff."""
    for name, dashboard in dashboards.items():
        text = json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        if (root / "deploy/grafana/dashboards" / name).read_text(encoding="utf-8") != text:
            yield f"{name}: not canonical JSON; run deploy/grafana/generate.py"


def identities(_, dashboards):
    """Stable, unique uids and titles; unique ids of panels; a schema that Grafana 11 has."""
    for key in ("uid", "title"):
        seen = {}
        for name, dashboard in dashboards.items():
            value = dashboard.get(key)
            if not value:
                yield f"{name}: expected a {key}"
            elif value in seen:
                yield f"{name}: {key} {value!r} is that of {seen[value]}"
            seen[value] = name
    for name, dashboard in dashboards.items():
        if dashboard.get("schemaVersion", 0) < MIN_SCHEMA_VERSION:
            yield f"{name}: expected schemaVersion {MIN_SCHEMA_VERSION} or later"
        if "id" in dashboard and dashboard["id"] is not None:
            yield f"{name}: id is Grafana's to give; leave it out"
        ids = [panel["id"] for panel in dashboard["panels"]]
        for panel_id in sorted({i for i in ids if ids.count(i) > 1}):
            yield f"{name}: panel id {panel_id} is there twice"


def places(_, dashboards):
    """Panels lie within the grid and do not overlap."""
    for name, dashboard in dashboards.items():
        taken = {}
        for panel in dashboard["panels"]:
            box = panel["gridPos"]
            if box["x"] < 0 or box["w"] < 1 or box["h"] < 1 or box["x"] + box["w"] > COLUMNS:
                yield f"{name}: {panel['title']!r} leaves the grid of {COLUMNS} columns"
            for cell in ((x, y) for x in range(box["x"], box["x"] + box["w"])
                         for y in range(box["y"], box["y"] + box["h"])):
                other = taken.setdefault(cell, panel["title"])
                if other != panel["title"]:
                    yield f"{name}: {panel['title']!r} overlaps {other!r}"
                    break


def explained(_, dashboards):
    """Every panel has a title, a description, a unit and a query; every variable is explained."""
    for name, dashboard in dashboards.items():
        for panel in dashboard_files.panels(dashboard):
            title = panel.get("title") or f"panel {panel['id']}"
            if not panel.get("title"):
                yield f"{name}: {title} has no title"
            if not panel.get("description"):
                yield f"{name}: {title!r} has no description"
            if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
                yield f"{name}: {title!r} has no unit"
            if not panel.get("targets"):
                yield f"{name}: {title!r} asks for nothing"
        for variable in dashboard_files.variables(dashboard).values():
            if not variable.get("label") or not variable.get("description"):
                yield f"{name}: variable {variable['name']} has no label or no description"


def _datasources(value):
    if isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]
        for inner in value.values():
            yield from _datasources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _datasources(inner)


def datasources(_, dashboards):
    """No data source is named: all are the dashboard's variable (or Grafana's own)."""
    for name, dashboard in dashboards.items():
        for source in _datasources(dashboard):
            if source not in ({"type": "prometheus", "uid": "${datasource}"},
                              {"type": "grafana", "uid": "-- Grafana --"}):
                yield f"{name}: expected the data source ${{datasource}}, found {source}"


def variables(_, dashboards):
    """Those that are needed are there; each that is used is there, and each that is there is used;
    those that may be several values are matched as expressions."""
    for name, dashboard in dashboards.items():
        known = dashboard_files.variables(dashboard)
        for missing in sorted(NEEDED_VARIABLES.get(name, set()) - set(known)):
            yield f"{name}: expected the variable {missing}"
        used = {"datasource"}
        texts = [query.expr for query in dashboard_files.queries(name, dashboard)]
        texts += [variable["query"]["query"] for variable in known.values()
                  if variable["type"] == "query"]
        for text in texts:
            used |= promql.variables(text)
            for selector in promql.selectors(text):
                for label, operator, value in selector.matchers:
                    if promql.variables(value) and operator != "=~":
                        yield f"{name}: {label}{operator}\"{value}\": expected =~"
        for unknown in sorted(used - set(known)):
            yield f"{name}: ${unknown} is used, and there is no such variable"
        for unused in sorted(set(known) - used):
            yield f"{name}: no query uses the variable {unused}"


def chosen(_, dashboards):
    """Every selector keeps to the namespaces and models that are chosen (but those of GPUs)."""
    for name, dashboard in dashboards.items():
        for query in dashboard_files.queries(name, dashboard):
            for selector in promql.selectors(query.expr):
                if metrics_page.DCGM.fullmatch(selector.metric):
                    continue
                labels = {label for label, _, _ in selector.matchers}
                for label in sorted({"namespace", "model"} - labels):
                    yield f"{name}: {query.panel!r}: {selector.metric} is not restricted by {label}"


def shown(root, dashboards):
    """Every metric of docs/metrics.md is on a panel, or NOT_SHOWN says why it is not."""
    metrics = metrics_page.read(root / "docs/metrics.md")
    on_panels = {metrics_page.family(selector.metric, metrics)
                 for name, dashboard in dashboards.items()
                 for query in dashboard_files.queries(name, dashboard)
                 for selector in promql.selectors(query.expr)}
    for metric in sorted(set(metrics) - on_panels - set(NOT_SHOWN)):
        yield f"{metric} is on no panel; show it, or say in NOT_SHOWN why not"
    for metric in sorted(set(NOT_SHOWN) & on_panels):
        yield f"{metric} is on a panel and in NOT_SHOWN"


def exist(root, dashboards, records):
    """Every metric and label that a query asks for exists."""
    metrics = metrics_page.read(root / "docs/metrics.md")
    for name, dashboard in dashboards.items():
        for query in dashboard_files.queries(name, dashboard):
            for fault in metrics_page.faults(query.expr, metrics, records):
                yield f"{name}: {query.panel!r}: {fault}"
        for variable in dashboard_files.variables(dashboard).values():
            if variable["type"] != "query":
                continue
            selector, label = dashboard_files.label_values(variable)
            metric = next(promql.selectors(selector)).metric
            labels = metrics_page.labels_of(metric, metrics, records)
            if labels is None or label not in labels:
                yield f"{name}: variable {variable['name']}: {metric} has no label {label}"


def expressions(dashboards):
    """Every expression with variables filled in as Grafana does, for promtool: (place, expr)."""
    for name, dashboard in dashboards.items():
        everything = {variable: ".*" for variable in dashboard_files.variables(dashboard)}
        for query in dashboard_files.queries(name, dashboard):
            yield f"{name}: {query.panel!r}", dashboard_files.substitute(query.expr, everything)
