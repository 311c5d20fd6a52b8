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


if __name__ == "__main__":
    unittest.main()
