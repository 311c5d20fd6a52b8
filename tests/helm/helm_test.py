"""The chart through the real helm client: lint, every example, values at random, nonsense."""

import os
import unittest

import chart
import nonsense
import random_values
import render
import rendered

SEEDS = range(int(os.environ.get("SEEDS", "40")))


class LintTest(unittest.TestCase):

    def lint(self, values):
        code, out, err = render.run(["lint", "--strict", str(chart.CHART)], values)
        self.assertEqual(code, 0, out + err)
        self.assertNotIn("[WARNING]", out)

    def test_defaults(self):
        self.lint({})

    def test_examples(self):
        for path in chart.EXAMPLES:
            with self.subTest(path.name):
                self.lint(chart.read_yaml(path))


class ManifestsTest(unittest.TestCase):

    def check(self, values):
        items = render.manifests(values)
        self.assertEqual(list(rendered.faults(items)), [])
        return items

    def test_the_least_that_must_be_given_is_enough(self):
        items = self.check(chart.MODEL)
        kinds = {item["kind"] for item in items}
        self.assertLessEqual({"Deployment", "StatefulSet", "Service", "ServiceAccount",
                              "PodDisruptionBudget", "NetworkPolicy", "Pod"}, kinds)

    def test_every_example(self):
        for path in chart.EXAMPLES:
            with self.subTest(path.name):
                self.check(chart.read_yaml(path))

    def test_values_at_random(self):
        for seed in SEEDS:
            with self.subTest(seed):
                self.check(random_values.values(seed))

    def test_notes_are_paragraphs(self):
        guarded = {"api": {"tokensSecret": {"name": "tokens"}}}
        for values in ({}, guarded, {"helmTest": {"enabled": False}},
                       {"networkPolicy": {"enabled": False}}, {"expertWorkers": {"replicas": None}}):
            text = render.notes(chart.merged(chart.MODEL, values))
            self.assertNotIn("\n\n\n", text)
            for paragraph in text.split("\n\n"):  # commands stand alone
                self.assertEqual(len({line.startswith("  ") for line in paragraph.splitlines()}), 1,
                                 paragraph)

    def test_notes_warn_of_a_door_that_nobody_passes(self):
        doors = (({"coordinator": {"service": {"type": "LoadBalancer"}}}, "service.type LoadBalancer"),
                 ({"coordinator": {"service": {"type": "NodePort"}}}, "service.type NodePort"),
                 ({"ingress": {"enabled": True, "hosts": ["a.example.com"]}}, "ingress.enabled"),
                 ({"grpcRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "grpcRoute.enabled"))
        passed = ({"clients": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
                  {"clients": [{"podSelector": {}}, {"namespaceSelector": {}}]},
                  {"extraIngress": {"coordinator": [{}]}}, {"enabled": False})
        self.assertNotIn("WARNING", render.notes(chart.MODEL))
        for door, words in doors:
            values = chart.merged(chart.MODEL, door)
            self.assertRegex(render.notes(values), f"WARNING: .*{words} offers the API")
            for policy in passed:
                self.assertNotIn("WARNING", render.notes(
                    chart.merged(values, {"networkPolicy": policy})))

    def test_notes_tell_the_next_command(self):
        text = render.notes(chart.MODEL)
        for command in (f"helm test {render.RELEASE}", "kubectl -n tramontane-dry-run port-forward",
                        "scale statefulset/demo-tramontane-expert-all --replicas=2"):
            self.assertIn(command, text)
        self.assertIn("get scaledobject",
                      render.notes(chart.read_yaml(chart.CHART / "examples" / "secured.yaml")))
        guarded = chart.merged(chart.MODEL, {"api": {"tokensSecret": {"name": "tokens"}}})
        self.assertIn("give helmTest.tokenSecret.name", render.notes(guarded))


class NonsenseTest(unittest.TestCase):

    def refusal(self, values):
        with self.assertRaises(render.Refused) as refused:
            render.text(chart.merged(chart.MODEL, values))
        return str(refused.exception)

    def test_the_schema_refuses(self):
        for name, values, where, words in nonsense.SCHEMA:
            with self.subTest(name):
                message = self.refusal(values)
                self.assertIn(words, message)
                if "propertyName" not in words:  # helm 3.22 says another place for these
                    parent = where.rpartition("/")[0]
                    self.assertTrue(f"at '{where}" in message or f"at '{parent}'" in message,
                                    message)

    def test_the_templates_refuse(self):
        for name, values, words in nonsense.CHECKS:
            with self.subTest(name):
                self.assertIn(words, self.refusal(values))

    def test_everything_that_is_wrong_is_told_at_once(self):
        message = self.refusal(nonsense.both(
            chart.at("attentionWorkers.replicas", 1), chart.at("coordinator.replicas", 2),
            chart.at("tls.enabled", True), nonsense.shards(nonsense.LOW)))
        for words in ("coordinator.replicas: expected 1", "tls: expected a Secret", "found 128 in"):
            self.assertIn(words, message)

    def test_image_volumes_need_a_kubernetes_that_has_them(self):
        values = {"model": {"image": {"reference": "models/mixtral:1"}}}
        with self.assertRaises(render.Refused) as refused:
            render.text(values, "--kube-version", "1.30.4")
        self.assertIn("model.image: expected Kubernetes 1.31 or later", str(refused.exception))
        self.assertIn("reference: \"models/mixtral:1\"", render.text(values))


if __name__ == "__main__":
    unittest.main()
