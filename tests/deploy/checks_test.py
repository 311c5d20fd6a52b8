"""Every check of rules and dashboards finds what it is for in a tree made to break it."""

import copy
import pathlib
import sys
import tempfile
import unittest

import dashboard_checks
import dashboard_files
import metrics_page
import promql
import rule_checks
import rule_files

ROOT = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else pathlib.Path()
RECORDS = {"tramontane:x:rate5m": {"layer"}}


class DashboardsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.sound = dashboard_files.read(ROOT)

    def setUp(self):
        self.dashboards = copy.deepcopy(self.sound)
        self.serving = self.dashboards["serving.json"]
        self.panel = next(dashboard_files.panels(self.serving))

    def assert_found(self, check, words):
        self.assertEqual(list(check(ROOT, self.sound)), [])
        found = list(check(ROOT, self.dashboards))
        self.assertTrue(any(words in fault for fault in found), f"{words!r} not in {found}")

    def test_a_file_that_was_changed_by_hand(self):
        self.serving["title"] = "Mine"
        self.assert_found(dashboard_checks.canonical, "serving.json: not canonical")

    def test_a_file_that_is_missing(self):
        del self.dashboards["serving.json"]
        self.assert_found(dashboard_checks.generated, "serving.json: expected")

    def test_a_uid_twice(self):
        self.serving["uid"] = self.dashboards["experts.json"]["uid"]
        self.assert_found(dashboard_checks.identities, "is that of experts.json")

    def test_a_panel_id_twice(self):
        self.panel["id"] = self.serving["panels"][-1]["id"]
        self.assert_found(dashboard_checks.identities, "is there twice")

    def test_an_old_schema(self):
        self.serving["schemaVersion"] = 16
        self.assert_found(dashboard_checks.identities, "expected schemaVersion")

    def test_panels_that_overlap(self):
        self.panel["gridPos"]["w"] += 1
        self.assert_found(dashboard_checks.places, "overlaps")

    def test_a_panel_outside_the_grid(self):
        self.panel["gridPos"]["x"] = 23
        self.assert_found(dashboard_checks.places, "leaves the grid")

    def test_panels_that_do_not_explain_themselves(self):
        for key in ("title", "description", "targets"):
            self.setUp()
            self.panel[key] = None
            with self.subTest(key):
                self.assert_found(dashboard_checks.explained, "serving.json")
        self.setUp()
        self.panel["fieldConfig"]["defaults"]["unit"] = ""
        self.assert_found(dashboard_checks.explained, "has no unit")

    def test_a_data_source_by_name(self):
        self.panel["targets"][0]["datasource"] = {"type": "prometheus", "uid": "mine"}
        self.assert_found(dashboard_checks.datasources, "'mine'")

    def test_a_variable_that_is_missing_or_unknown_or_unused(self):
        variables = self.serving["templating"]["list"]
        variables[:] = [v for v in variables if v["name"] != "model"]
        self.assert_found(dashboard_checks.variables, "expected the variable model")
        self.assert_found(dashboard_checks.variables, "$model is used")
        self.setUp()
        self.serving["templating"]["list"][1]["name"] = "other"
        self.assert_found(dashboard_checks.variables, "no query uses the variable other")

    def test_a_variable_that_is_compared_as_one_value(self):
        self.panel["targets"][0]["expr"] = 'sum (up{namespace="$namespace"})'
        self.assert_found(dashboard_checks.variables, "expected =~")

    def test_a_query_of_all_namespaces(self):
        self.panel["targets"][0]["expr"] = 'sum (tramontane_experts_missing{model=~"$model"})'
        self.assert_found(dashboard_checks.chosen, "not restricted by namespace")

    def test_a_metric_that_no_panel_shows(self):
        for panel in dashboard_files.panels(self.serving):
            for target in panel["targets"]:
                target["expr"] = target["expr"].replace("tramontane_preemptions_total", "up")
        self.assert_found(dashboard_checks.shown, "tramontane_preemptions_total is on no panel")

    def test_an_expression_that_does_not_parse(self):
        self.assertEqual(list(rule_checks.parse(ROOT, [("here", "sum (up)")])), [])
        self.assertIn("here", "".join(rule_checks.parse(ROOT, [("here", "sum (up")])))

    def test_a_panel_that_a_page_names_and_is_not_there(self):
        check = rule_checks.panel_names
        for panel in self.serving["panels"]:
            panel["title"] = panel["title"].replace("KV cache", "Cache")
        self.assert_found(check, "no panel is named 'KV cache'")


class MetricsTest(unittest.TestCase):

    METRICS = {"a_total": metrics_page.Metric("counter", frozenset({"status"})),
               "h": metrics_page.Metric("histogram", frozenset()),
               "g": metrics_page.Metric("gauge", frozenset({"worker"}))}

    def faults(self, expr):
        return "; ".join(metrics_page.faults(expr, self.METRICS, RECORDS))

    def test_what_exists_is_right(self):
        for expr in ('sum by (status) (rate(a_total{status="OK", namespace=~"n|m"}[5m]))',
                     "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
                     'min by (worker) (g) == 0 and on (pod) up{component="x"} or vector(1e-9)',
                     "rate(h_sum[5m]) / rate(h_count[5m])", "tramontane:x:rate5m offset 6h > 2",
                     'DCGM_FI_DEV_GPU_UTIL{gpu="0"}'):
            self.assertEqual(self.faults(expr), "", expr)

    def test_what_does_not_exist_is_found(self):
        for expr, words in (
                ("rate(b_total[5m])", "b_total is neither"), ("rate(h[5m])", "h is neither"),
                ("g_bucket", "g_bucket is neither"), ("tramontane:y:rate5m", "tramontane:y"),
                ('g{status="OK"}', "g has no label status"), ("a_total", "expected rate()"),
                ("sum by (layer) (g)", "has the label layer"), ('up{x="1"}', "up has no label x")):
            self.assertIn(words, self.faults(expr), expr)


class RulesTest(unittest.TestCase):

    def rule(self, name="TramontaneX", **changes):
        rule = {"file": "f", "name": name, "is_alert": True, "expr": "g > 1",
                "labels": {"severity": "warning"}, "annotations": {
                    "summary": "s", "description": "d",
                    "runbook": f"docs/alerts.md#{name.lower()}"}}
        return rule_files.Rule(**{**rule, **changes})

    def test_a_sound_rule_passes(self):
        rules = [self.rule()]
        self.assertEqual(list(rule_checks.named(rules)) + list(rule_checks.annotated(rules)), [])

    def test_names(self):
        self.assertIn("expected a name", "".join(rule_checks.named([self.rule("Other")])))
        self.assertIn("2 times", "".join(rule_checks.named([self.rule(), self.rule()])))

    def test_annotations(self):
        for changes, words in (({"labels": {}}, "severity"),
                               ({"annotations": {"summary": "s", "runbook": "x"}}, "runbook")):
            self.assertIn(words, "".join(rule_checks.annotated([self.rule(**changes)])))

    def with_files(self, check, rules, page="", tests="tests: []"):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in (("docs/alerts.md", page), ("tests/deploy/x_test.yml", tests)):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="utf-8")
            return "; ".join(check(root, rules))

    def test_a_rule_without_a_test(self):
        found = self.with_files(rule_checks.tested, [self.rule()])
        self.assertIn("sees it fire", found)
        self.assertIn("sees it quiet", found)
        one = ("tests: [{alert_rule_test: [{alertname: TramontaneX, exp_alerts: []},"
               " {alertname: TramontaneX, exp_alerts: [{}]}]}]")
        self.assertEqual(self.with_files(rule_checks.tested, [self.rule()], tests=one), "")

    def test_a_runbook_that_is_missing_or_not_whole_or_left_over(self):
        whole = "### TramontaneX\n" + "".join(
            f"\n**{part}.** text\n" for part in rule_checks.RUNBOOK_PARTS)
        self.assertEqual(self.with_files(rule_checks.runbooks, [self.rule()], whole), "")
        self.assertIn("no section", self.with_files(rule_checks.runbooks, [self.rule()]))
        self.assertIn("is no alert", self.with_files(rule_checks.runbooks, [], whole))
        self.assertIn("expected paragraphs", self.with_files(
            rule_checks.runbooks, [self.rule()], whole.replace("**Impact.**", "")))


class ExpressionsTest(unittest.TestCase):

    def test_selectors(self):
        found = list(promql.selectors(
            'sum by (a, b) (rate(x_total{s=~"U|}", t="$v"}[5m])) / on (a) group_left () y > bool 1'))
        self.assertEqual([(s.metric, s.is_range) for s in found], [("x_total", True), ("y", False)])
        self.assertEqual(found[0].matchers, (("s", "=~", "U|}"), ("t", "=", "$v")))

    def test_only_durations_are_scaled(self):
        scale = lambda length: length / 60
        self.assertEqual(promql.with_durations('rate(x5m{a="5m"}[5m]) > 5', scale),
                         'rate(x5m{a="5m"}[5000ms]) > 5')
        self.assertEqual(promql.with_durations("x - x offset 1h30m", scale),
                         "x - x offset 90000ms")

    def test_a_scaled_rule_differs_in_durations_alone(self):
        text = "groups: [{name: g, rules: [{alert: A, expr: 'rate(x[1h]) > 2', for: 10m}]}]"
        rule = rule_files.yaml.safe_load(rule_files.scaled(text, 1 / 120, 5, 1))["groups"][0]["rules"]
        self.assertEqual(rule, [{"alert": "A", "expr": "rate(x[30000ms]) > 2", "for": "5000ms"}])

    def test_variables_are_filled_in_as_grafana_does(self):
        filled = dashboard_files.substitute(
            'rate(x{a=~"$a", b=~"${b}"}[$__rate_interval])', {"a": ["1.5", "2"], "b": ".*"}, 1)
        self.assertEqual(filled, 'rate(x{a=~"(1\\\\.5|2)", b=~".*"}[4s])')


if __name__ == "__main__":
    unittest.main()
