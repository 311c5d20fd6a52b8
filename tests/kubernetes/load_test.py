"""What the table of run.py rests on, without a cluster."""

import json
import pathlib
import unittest

import cluster
import load
import run

_ROOT = pathlib.Path(__file__).resolve().parents[2]


class LastReportTest(unittest.TestCase):

    def test_takes_the_last_of_several_reports_among_other_lines(self):
        text = ('{\n  "points": []\n}\nconcurrency 4: {not json} 3 s\n'
                + json.dumps({"points": [{"errors": {"UNAVAILABLE": {"count": 2}}}]}, indent=2)
                + "\nconcurrency 4\n  requests: 7\n")
        self.assertEqual(load.last_report(text)["points"][0]["errors"]["UNAVAILABLE"]["count"], 2)

    def test_a_report_that_was_cut_off_is_none(self):
        whole = json.dumps({"points": [{"errors": {}}]}, indent=2)
        with self.assertRaisesRegex(cluster.Failure, "expected a report"):
            load.last_report('{"points": []}\n' + whole[:-3])

    def test_no_report_is_a_failure_that_shows_the_output(self):
        with self.assertRaisesRegex(cluster.Failure, "cannot connect"):
            load.last_report("error: cannot connect")


class GoldenTokensTest(unittest.TestCase):

    def test_a_call_asks_for_as_many_tokens_as_it_compares(self):
        golden = load.GoldenTokens(_ROOT / "tests/golden/demo/golden.json", 32)
        command, tokens = golden.command(len(golden.cases) + 1, "service:8470")
        self.assertEqual(tokens, golden.cases[1][1])
        self.assertEqual(len(tokens), 32)
        self.assertIn("--max_tokens=32", command)
        self.assertIn("--target=service:8470", command)


class SettingsTest(unittest.TestCase):

    def test_attention_workers_leave_one_coordinator(self):
        values = run.Settings("localhost", "dev", "Never", 1).with_replicas(2)
        self.assertEqual(values["attentionWorkers"]["replicas"], 2)
        self.assertNotIn("replicas", values["coordinator"])

    def test_changed_values_leave_the_others_as_they_are(self):
        settings = run.Settings("localhost", "dev", "Never", 0)
        settings.with_slow_shard()
        settings.with_replicas(3)
        self.assertEqual(len(settings.values["expertWorkers"]["shards"]), 2)
        self.assertNotIn("replicas", settings.values["expertWorkers"])


class WaitForTest(unittest.TestCase):

    def test_a_condition_that_never_holds_is_named_with_its_last_error(self):
        def condition():
            raise cluster.Failure("no such pod")
        with self.assertRaisesRegex(cluster.Failure, "the pod is ready; last: no such pod"):
            cluster.wait_for("the pod is ready", condition, timeout_s=0.01, every_s=0.001)


if __name__ == "__main__":
    unittest.main()
