"""Every expression of dashboards and rules, asked of a live Prometheus."""

import collections
import re

import dashboard_files
import live_prometheus
import metrics_page
import promql
import rule_files

# As Grafana asks: the last minute, with a scrape interval of two seconds in the data source's
# settings, so that $__rate_interval spans scrapes that a busy machine delays.
RANGE_S, STEP_S, SCRAPE_INTERVAL_S = 60, 1, 2
# Series that are not there, or have no value, before something fails and recovers. After the faults
# of the test they have to have one.
NEEDS_RECOVERY = {
    "tramontane_expert_retries_total", "tramontane_expert_hop_failures_total",
    "tramontane_expert_workers_set_aside_total", "tramontane_expert_stall_seconds_bucket",
    "tramontane_expert_wait_seconds_bucket"}
# Series that the system of the test has not, and why.
NOT_HERE = {
    "tramontane_tls_certificate_expiry_timestamp_seconds": "it runs without TLS",
    "tramontane_expert_worker_probe_failures_total": "no worker of it answers a probe wrongly"}
# When an expression has data.
UNDER_LOAD, WHILE_FIRING, AFTER_RECOVERY, NEVER_HERE = (
    "under load", "while alerts fire", "after recovery", "not in this system")


def _is_absent(metric):
    return metric in NOT_HERE or metrics_page.DCGM.fullmatch(metric) is not None


def when(expr):
    """UNDER_LOAD, WHILE_FIRING, AFTER_RECOVERY or NEVER_HERE."""
    metrics = {selector.metric for selector in promql.selectors(expr)}
    if any(map(_is_absent, metrics)):
        return NEVER_HERE
    if "ALERTS" in metrics:
        return WHILE_FIRING
    return AFTER_RECOVERY if metrics & NEEDS_RECOVERY else UNDER_LOAD


class Expressions:

    def __init__(self, prometheus, dashboards):
        self._prometheus, self._dashboards = prometheus, dashboards
        self._with_data = collections.Counter()  # (dashboard, when)
        self._num_rules = collections.Counter()  # by Prometheus's type
        self._choices = {}  # dashboard → what _read_choices returns

    def _fill(self, text, values):
        return dashboard_files.substitute(text, values, SCRAPE_INTERVAL_S, RANGE_S)

    def _read_choices(self, dashboard):
        """The variables' values in two ways: All of each, and every value by its name."""
        everything, named = {}, {}
        for name, variable in dashboard_files.variables(dashboard).items():
            if variable["type"] == "query":
                selector, label = dashboard_files.label_values(variable)
                named[name] = self._prometheus.label_values(
                    self._fill(selector, everything), label)
                everything[name] = variable["allValue"]
        return everything, named

    def _ask(self, query, values):
        expr = self._fill(query.expr, values)
        if query.instant:
            return live_prometheus.finite(self._prometheus.query(expr))
        return live_prometheus.finite(self._prometheus.query_range(expr, RANGE_S, STEP_S))

    def _faults(self, query, values):
        """A sentence where the query has no data or its legend names a label that is not there."""
        place = f"{query.dashboard}: {query.panel!r}"
        try:
            series = self._ask(query, values)
        except ValueError as error:
            yield f"{place}: {query.expr}: {error}"
            return
        if not series:
            yield f"{place}: no data: {self._fill(query.expr, values)}"
        # Coordinators and attention workers are of no shard.
        for label in sorted(set(re.findall(r"{{(\w+)}}", query.legend)) - {"shard"}):
            if any(label not in labels for labels, _ in series):
                yield f"{place}: a series without the label {label} of the legend"

    def dashboards(self, moment):
        """Asks every expression that has data at this moment."""
        for name, dashboard in self._dashboards.items():
            if name not in self._choices:
                self._choices[name] = self._read_choices(dashboard)
                for variable, values in self._choices[name][1].items():
                    if not values:
                        yield f"{name}: the variable {variable} has no values"
            for query in dashboard_files.queries(name, dashboard):
                if when(query.expr) != moment:
                    continue
                faults = [fault for values in self._choices[name]
                          for fault in self._faults(query, values)]
                yield from faults
                self._with_data[name, moment] += not faults

    def rules(self, root):
        """Every rule evaluates; every record has a value, every selector of a rule finds series."""
        written = {rule.name: rule for rule in rule_files.read(root)}
        loaded = self._prometheus.rules()
        if {rule["name"] for rule in loaded} != set(written):
            yield f"expected the rules {sorted(written)}, found {[r['name'] for r in loaded]}"
            return
        for rule in loaded:
            self._num_rules[rule["type"]] += 1
            if rule["health"] != "ok":
                yield f"{rule['name']}: {rule['health']}: {rule.get('lastError', '')}"
            if rule["type"] == "recording" and not live_prometheus.finite(
                    self._prometheus.query(rule["name"])):
                yield f"{rule['name']}: no data"
            for selector in promql.selectors(written[rule["name"]].expr):
                if when(selector.text) == UNDER_LOAD and not self._prometheus.query(selector.text):
                    yield f"{rule['name']}: {selector.text} finds no series"

    def summary(self):
        """A table of how many expressions had data, and when."""
        moments = (UNDER_LOAD, WHILE_FIRING, AFTER_RECOVERY)
        widths = [len(moment) + 2 for moment in (*moments, NEVER_HERE)]
        head = "".join(f"{moment:>{width}}" for moment, width in
                       zip((*moments, NEVER_HERE), widths))
        rows = [f"{'expressions with data':<25}{'all':>5}{head}"]
        for name, dashboard in self._dashboards.items():
            queries = list(dashboard_files.queries(name, dashboard))
            absent = sum(when(query.expr) == NEVER_HERE for query in queries)
            counts = [*(self._with_data[name, moment] for moment in moments), absent]
            cells = "".join(f"{count:>{width}}" for count, width in zip(counts, widths))
            rows.append(f"{name:<25}{len(queries):>5}{cells}")
        rows.append(f"rules: {self._num_rules['alerting']} alerts and "
                    f"{self._num_rules['recording']} records loaded")
        return "\n".join(rows)
