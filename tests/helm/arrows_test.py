"""The NetworkPolicies admit the arrows of the architecture and nothing else."""

import itertools
import unittest

import arrows
import chart
import render

API, WORKER, HEALTH, METRICS, DNS = 8470, 8480, 8471, 9470, 53

ELSEWHERE = {
    "client": {"namespace": render.NAMESPACE, "labels": {"app": "client"}},
    "stranger": {"namespace": "other", "labels": {"app": "client"}},
    "prometheus": {"namespace": "monitoring", "labels": {"app": "prometheus"}},
    "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
}
# Whoever is named may open connections to these ports, beside what is between pods elsewhere.
OBSERVED = {("prometheus", role, METRICS)
            for role in ("coordinator", "attention-worker", "expert-worker")}
CALLED = {("client", "coordinator", API), ("test", "coordinator", API), ("test", "dns", DNS),
          ("coordinator", "dns", DNS)}
WITHOUT_ATTENTION = CALLED | OBSERVED | {("coordinator", "expert-worker", WORKER)}
WITH_ATTENTION = CALLED | OBSERVED | {("coordinator", "attention-worker", WORKER),
                                      ("attention-worker", "expert-worker", WORKER),
                                      ("attention-worker", "dns", DNS)}


def pods(items):
    found = dict(ELSEWHERE)
    for _, metadata, _ in render.pods(items):
        labels = metadata["labels"]
        found[labels["app.kubernetes.io/component"]] = {"namespace": render.NAMESPACE,
                                                        "labels": labels}
    return found


def admitted(items):
    """Every (source, target, port) that the policies of `items` admit."""
    policies = render.of_kind(items, "NetworkPolicy")
    everybody = pods(items)
    return {(source, target, port)
            for (source, target), port in itertools.product(
                itertools.permutations(everybody, 2), (API, WORKER, HEALTH, METRICS, DNS))
            if arrows.admitted(policies, everybody[source], everybody[target], port)}


def concerning_us(found):
    return {arrow for arrow in found if not {arrow[0], arrow[1]} <= set(ELSEWHERE)}


class ArrowsTest(unittest.TestCase):

    def test_with_attention_in_the_coordinator(self):
        values = chart.MODEL
        expected = {arrow for arrow in WITHOUT_ATTENTION if "attention-worker" not in arrow}
        # Pods of the same namespace are clients by default, whatever they are; but what may call
        # out at all is decided by their own policies, which give workers no way to the API.
        self.assertEqual(concerning_us(admitted(render.manifests(values))), expected)

    def test_with_attention_workers(self):
        values = chart.merged(chart.MODEL, {"attentionWorkers": {"replicas": 2}})
        self.assertEqual(concerning_us(admitted(render.manifests(values))), WITH_ATTENTION)

    def test_shards_cannot_reach_each_other(self):
        values = chart.merged(chart.MODEL, {"expertWorkers": {"shards": [
            {"name": "a", "experts": "0-3"}, {"name": "b", "experts": "4-7"}]}})
        items = render.manifests(values)
        shards = [{"namespace": render.NAMESPACE, "labels": metadata["labels"]}
                  for _, metadata, _ in render.pods(items)
                  if "tramontane/shard" in metadata["labels"]]
        self.assertEqual(len(shards), 2)
        policies = render.of_kind(items, "NetworkPolicy")
        for source, target in itertools.permutations(shards):
            for port in (API, WORKER, HEALTH, METRICS):
                self.assertFalse(arrows.admitted(policies, source, target, port))

    def test_named_clients_take_the_place_of_the_namespace(self):
        values = chart.merged(chart.MODEL, {"networkPolicy": {"clients": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}]}})
        found = concerning_us(admitted(render.manifests(values)))
        callers = {source for source, target, port in found if (target, port) == ("coordinator", API)}
        self.assertEqual(callers, {"stranger", "test"})

    def test_nobody_is_everybody_by_mistake(self):
        values = chart.merged(chart.MODEL, {
            "networkPolicy": {"clients": [], "prometheus": []}, "helmTest": {"enabled": False}})
        found = concerning_us(admitted(render.manifests(values)))
        self.assertEqual({target for _, target, _ in found}, {"expert-worker", "dns"})

    def test_without_policies_everything_is_open(self):
        values = chart.merged(chart.MODEL, {"networkPolicy": {"enabled": False}})
        items = render.manifests(values)
        self.assertEqual(render.of_kind(items, "NetworkPolicy"), [])
        self.assertIn(("stranger", "expert-worker", WORKER), admitted(items))


if __name__ == "__main__":
    unittest.main()
