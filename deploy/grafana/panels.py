"""Panels, variables and whole dashboards as Grafana's JSON (schema version 39).

What a dashboard shows is in serving.py, experts.py and process.py; how a panel of a kind looks is
here, once. A panel takes its place from its row: left to right in the order of the list, 24 columns.
"""

import dataclasses

SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Alerts of the namespaces and models that are chosen.
ALERTS = ('ALERTS{alertname=~"Tramontane.+", alertstate="firing", '
          'namespace=~"$namespace", model=~"$model"}')


@dataclasses.dataclass
class Panel:
    """A panel without its id and place."""
    body: dict
    width: int
    height: int


@dataclasses.dataclass
class Row:
    """A heading and the panels below it."""
    title: str
    panels: list


def target(expr, legend="", instant=False, table=False):
    """A query; `legend` is the name of a series, with {{label}} in it."""
    return {
        "datasource": DATASOURCE, "editorMode": "code", "expr": " ".join(expr.split()),
        "format": "table" if table else "time_series", "instant": instant,
        "legendFormat": legend or "__auto", "range": not instant}


def thresholds(*steps):
    """("green", (0.8, "orange"), …): a colour, then from which value on another."""
    base, *others = steps
    return {"mode": "absolute", "steps": [{"color": base, "value": None}] + [
        {"color": color, "value": value} for value, color in others]}


def _panel(kind, title, description, unit, targets, width, height, options, custom=None,
           limits=None, low=None, high=None, decimals=None, color=None):
    defaults = {
        "color": {"mode": color or ("thresholds" if kind in ("stat", "gauge") else
                                    "palette-classic")},
        "custom": custom or {}, "mappings": [], "thresholds": limits or thresholds("green"),
        "unit": unit}
    for name, value in (("min", low), ("max", high), ("decimals", decimals)):
        if value is not None:
            defaults[name] = value
    body = {
        "type": kind, "title": title, "description": description, "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        "targets": [dict(query, refId=chr(ord("A") + i)) for i, query in enumerate(targets)]}
    return Panel(body, width, height)


def stat(title, description, unit, expr, limits=None, width=3, **more):
    """One number of now, coloured by its limits, over its course."""
    options = {
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False, "textMode": "value", "wideLayout": True}
    return _panel("stat", title, description, unit, [target(expr)], width, 4, options,
                  limits=limits, **more)


def graph(title, description, unit, targets, limits=None, stacked=False, width=8, height=8,
          low=0, **more):
    """Curves over time; a dashed line at each limit."""
    custom = {
        "axisSoftMin": 0, "drawStyle": "line", "fillOpacity": 30 if stacked else 8,
        "lineInterpolation": "linear", "lineWidth": 1, "showPoints": "never", "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"}}
    options = {
        "legend": {"calcs": ["mean", "max", "lastNotNull"], "displayMode": "table",
                   "placement": "bottom", "showLegend": True, "sortBy": "Last *",
                   "sortDesc": True},
        "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, description, unit, targets, width, height, options,
                  custom=custom, limits=limits, low=low, **more)


def bars(title, description, unit, targets, limits=None, width=8, height=8, **more):
    """A horizontal bar for each series, of now."""
    options = {
        "displayMode": "basic", "minVizHeight": 12, "minVizWidth": 8, "namePlacement": "auto",
        "orientation": "horizontal", "showUnfilled": True, "sizing": "auto", "valueMode": "color",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return _panel("bargauge", title, description, unit, targets, width, height, options,
                  limits=limits, color="thresholds", low=0, **more)


def _heatmap(title, description, unit, query, width, height, y_unit):
    options = {
        "calculate": False, "cellGap": 1, "cellValues": {"unit": unit},
        "color": {"exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False,
                  "scale": "exponential", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9}, "legend": {"show": True},
        "rowsFrame": {"layout": "auto"}, "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": y_unit}}
    return _panel("heatmap", title, description, unit, [query], width, height, options)


def latency_heatmap(title, description, expr, width=8, height=8):
    """The buckets of a histogram in seconds over time; `expr` keeps the label le."""
    query = dict(target(expr, "{{le}}"), format="heatmap")
    return _heatmap(title, description, "cps", query, width, height, "s")


def series_heatmap(title, description, unit, expr, legend, width=12, height=8):
    """One row for each series over time."""
    return _heatmap(title, description, unit, target(expr, legend), width, height, "none")


def _as_number(field):
    return {"id": "convertFieldType", "options": {
        "conversions": [{"destinationType": "number", "targetField": field}], "fields": {}}}


def matrix(title, description, unit, expr, rows, columns, limits, width=12, height=8,
           decimals=2):
    """A table of now: a row for each value of one label, a column for each of another, cells
    coloured by value. Rows are in the order of numbers."""
    corner = f"{rows}\\{columns}"
    query = target(expr, instant=True, table=True)
    panel = _panel("table", title, description, unit, [query], width, height, {
        "cellHeight": "sm", "showHeader": True, "sortBy": [{"desc": False, "displayName": corner}],
        "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False}},
        custom={"align": "center", "inspect": False,
                "cellOptions": {"mode": "basic", "type": "color-background"}},
        limits=limits, color="thresholds", decimals=decimals)
    # Sorted as numbers before, for the order of the columns, and after, for that of the rows.
    panel.body["transformations"] = [
        _as_number(columns),
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": columns}]}},
        {"id": "groupingToMatrix", "options": {
            "columnField": columns, "rowField": rows, "valueField": "Value",
            "emptyValue": "null"}},
        _as_number(corner)]
    panel.body["fieldConfig"]["overrides"] = [{
        "matcher": {"id": "byName", "options": corner},
        "properties": [{"id": "custom.cellOptions", "value": {"type": "auto"}},
                       {"id": "unit", "value": "none"}, {"id": "decimals", "value": 0}]}]
    return panel


def table(title, description, unit, expr, hidden=(), width=12, height=8, names=None):
    """The series of now with their labels, but for those that are hidden; Value is the number."""
    query = target(expr, instant=True, table=True)
    panel = _panel("table", title, description, unit, [query], width, height, {
        "cellHeight": "sm", "showHeader": True, "sortBy": [],
        "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False}},
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False})
    panel.body["transformations"] = [{"id": "organize", "options": {
        "excludeByName": {name: True for name in ("Time", "__name__", *hidden)},
        "indexByName": {}, "renameByName": names or {}}}]
    return panel


def states(title, description, expr, legend, texts, width=12, height=8):
    """A strip over time for each series; `texts` are (value, text, colour)."""
    panel = _panel("state-timeline", title, description, "none", [target(expr, legend)], width,
                   height, {
                       "alignValue": "left", "mergeValues": True, "rowHeight": 0.8,
                       "showValue": "never", "tooltip": {"mode": "single", "sort": "none"},
                       "legend": {"displayMode": "list", "placement": "bottom",
                                  "showLegend": True}},
                   custom={"fillOpacity": 80, "lineWidth": 0})
    panel.body["fieldConfig"]["defaults"]["mappings"] = [{
        "type": "value", "options": {
            str(value): {"color": color, "index": i, "text": text}
            for i, (value, text, color) in enumerate(texts)}}]
    return panel


def variable(name, label, query, description):
    """A choice of label values, several or all; all takes series without the label too."""
    return {
        "type": "query", "name": name, "label": label, "description": description,
        "datasource": DATASOURCE, "definition": query, "hide": 0, "includeAll": True,
        "allValue": ".*", "multi": True, "options": [], "refresh": 2, "regex": "",
        "skipUrlSync": False, "sort": 3,
        "query": {"qryType": 1, "query": query, "refId": f"{name}-values"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


def datasource_variable():
    return {
        "type": "datasource", "name": "datasource", "label": "Data source",
        "description": "A Prometheus that scrapes Tramontane.", "query": "prometheus",
        "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [],
        "refresh": 1, "regex": "", "skipUrlSync": False}


NAMESPACE = variable(
    "namespace", "Namespace", "label_values(tramontane_auth_failures_total, namespace)",
    "Kubernetes namespaces; on one machine: local.")
MODEL = variable(
    "model", "Model", 'label_values(tramontane_auth_failures_total{namespace=~"$namespace"}, model)',
    "Of the targets' label model.")


def _place(rows):
    """Panels with ids and places, each row's heading above them."""
    placed, y = [], 0
    for row in rows:
        placed.append({
            "type": "row", "title": row.title, "collapsed": False, "id": len(placed) + 1,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}, "panels": []})
        y, x, height = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                y, x, height = y + height, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            placed.append(dict(panel.body, id=len(placed) + 1, gridPos=place))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def dashboard(uid, title, description, variables, rows):
    return {
        "uid": uid, "title": title, "description": description, "tags": ["tramontane"],
        "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": True, "graphTooltip": 1,
        "fiscalYearStartMonth": 0, "liveNow": False, "refresh": "10s", "timezone": "",
        "weekStart": "", "time": {"from": "now-30m", "to": "now"}, "timepicker": {},
        "links": [{
            "asDropdown": False, "icon": "external link", "includeVars": True, "keepTime": True,
            "tags": ["tramontane"], "targetBlank": False, "title": "", "tooltip": "",
            "type": "dashboards", "url": ""}],
        "annotations": {"list": [{
            "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True, "hide": True, "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts", "type": "dashboard"}, {
                "datasource": DATASOURCE, "enable": True, "expr": ALERTS, "hide": False,
                "iconColor": "red", "name": "Alerts", "step": "10s",
                "tagKeys": "severity,namespace,model", "titleFormat": "{{alertname}}",
                "textFormat": "{{alertname}}"}]},
        "templating": {"list": [datasource_variable(), *variables]}, "panels": _place(rows)}
