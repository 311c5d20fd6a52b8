"""Replica counts that the chart leaves to others."""

import unittest

import chart
import render
from render import rendered_with, workload

SHARDS = [{"name": "low", "experts": "0-3"}, {"name": "high", "experts": "4-7"}]


class ReplicasTest(unittest.TestCase):

    def replicas(self, items):
        return {item["metadata"]["name"].removeprefix("demo-tramontane-"):
                item["spec"].get("replicas", "left out")
                for item in render.of_kind(items, *render.WORKLOADS)}

    def test_null_leaves_a_role_s_out(self):
        for path, name in (("coordinator", "coordinator"), ("expertWorkers", "expert-all"),
                           ("attentionWorkers", "attention")):
            items = rendered_with(f"{path}.replicas", None)
            self.assertEqual(self.replicas(items),
                             {"coordinator": 1, "expert-all": 1, name: "left out"})

    def test_null_leaves_a_shard_s_out(self):
        values = chart.at("expertWorkers.shards", [{**SHARDS[0], "replicas": None}, SHARDS[1]])
        self.assertEqual(self.replicas(render.manifests(chart.merged(chart.MODEL, values))),
                         {"coordinator": 1, "expert-low": "left out", "expert-high": 1})
        values = chart.at("expertWorkers", {
            "replicas": None, "shards": [SHARDS[0], {**SHARDS[1], "replicas": 2}]})
        self.assertEqual(self.replicas(render.manifests(chart.merged(chart.MODEL, values))),
                         {"coordinator": 1, "expert-low": "left out", "expert-high": 2})

    def test_attention_workers_of_any_number_are_there(self):
        items = rendered_with("attentionWorkers.replicas", None)
        self.assertIn("attention_workers", render.flags_of(items, "coordinator"))
        self.assertEqual(workload(items, "coordinator")["spec"]["strategy"], {"type": "Recreate"})

    def test_notes_say_whose_they_are(self):
        text = render.notes(chart.merged(chart.MODEL, chart.at("expertWorkers.replicas", None)))
        self.assertIn("experts all, autoscaled replica(s)", text)
        self.assertIn("get hpa", text)
        text = render.notes(chart.merged(chart.MODEL, chart.at("coordinator.replicas", None)))
        self.assertIn("0.1.0: autoscaled coordinator(s), 1 shard(s)", text)


if __name__ == "__main__":
    unittest.main()
