"""What single values do to the pods of every role."""

import json
import unittest

import chart
import render
from render import rendered_with, workload

ALL_ROLES = chart.merged(chart.MODEL, {"attentionWorkers": {"replicas": 1}})


class CommonLabelsTest(unittest.TestCase):

    def test_they_are_on_every_object_and_pod_and_select_nothing(self):
        base = chart.merged(ALL_ROLES, {"coordinator": {"podLabels": {"example.com/own": "yes"}}})
        items = rendered_with("commonLabels", {"example.com/team": "serving"}, base)
        for item in items:
            labels = [item["metadata"]["labels"]]
            if item["kind"] in render.WORKLOADS:
                labels.append(render.pod_template(item)["metadata"]["labels"])
            for found in labels:
                self.assertEqual(found.get("example.com/team"), "serving", render.name_of(item))
            spec = item.get("spec", {})
            for selector in ("selector", "podSelector"):
                self.assertNotIn("example.com/team", json.dumps(spec.get(selector)))
        labels = render.pod_template(workload(items, "coordinator"))["metadata"]["labels"]
        self.assertEqual(labels["example.com/own"], "yes")

    def test_a_role_s_own_go_before_them(self):
        items = rendered_with("commonLabels", {"team": "serving"}, chart.merged(
            chart.MODEL, {"expertWorkers": {"podLabels": {"team": "experts"}}}))
        for name, team in (("coordinator", "serving"), ("expert-all", "experts")):
            labels = render.pod_template(workload(items, name))["metadata"]["labels"]
            self.assertEqual(labels["team"], team)


class StartTest(unittest.TestCase):

    def deadline(self, values):
        values = chart.merged(chart.MODEL, values)
        spec = workload(render.manifests(values), "coordinator")["spec"]
        self.assertIn(f"--timeout={spec['progressDeadlineSeconds']}s", render.notes(values))
        return spec["progressDeadlineSeconds"]

    def test_the_coordinator_waits_for_whoever_starts_last(self):
        shards = [{"name": "low", "experts": "0-3", "startupTimeoutSeconds": 7200},
                  {"name": "high", "experts": "4-7"}]
        for values, longest in (
                ({}, 1800), ({"expertWorkers": {"shards": shards}}, 7200),
                ({"expertWorkers": {"startupTimeoutSeconds": 60}}, 120),
                ({"coordinator": {"startupTimeoutSeconds": 3000}}, 3000),
                ({"coordinator": {"minReadySeconds": 3600}}, 1800 + 3600),
                ({"attentionWorkers": {"startupTimeoutSeconds": 4000}}, 1800),
                ({"attentionWorkers": {"startupTimeoutSeconds": 4000, "replicas": 1}}, 4000)):
            self.assertEqual(self.deadline(values), longest + 600)


if __name__ == "__main__":
    unittest.main()
