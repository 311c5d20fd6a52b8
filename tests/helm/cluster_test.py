"""Every manifest against a real API server (--dry-run=server), which validates it and changes nothing.

Takes any cluster through KUBECONFIG. For the time of the test it makes one namespace, in which pod
security "restricted" is enforced, and those definitions of custom resources that the cluster lacks
(argument: the folder that definitions.py has written).
"""

import contextlib
import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

import yaml

import chart
import random_values
import render

SEEDS = range(int(os.environ.get("SEEDS", "40")))
DEFINITIONS = None
# Named in the pods, and made by whoever runs the cluster.
_MADE_ELSEWHERE = ("runtimeClassName", "priorityClassName", "serviceAccountName")


def kubectl(*arguments, stdin=None):
    """(exit code, output, errors and warnings)."""
    program = os.environ.get("KUBECTL") or shutil.which("kubectl")
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True,
                          timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def must(*arguments, stdin=None):
    code, out, err = kubectl(*arguments, stdin=stdin)
    if code != 0:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {err}")
    return out


def dry_run(items):
    """What the server says to creating `items`: (accepted, errors and warnings)."""
    code, out, err = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-",
                             stdin=yaml.safe_dump_all(items))
    accepted = len(out.splitlines())
    if code == 0 and accepted != len(items):
        raise AssertionError(f"{len(items)} manifests, {accepted} accepted: {out}")
    return code == 0, err.strip()


def as_pods(items):
    """The pods that controllers would make: pod security is enforced on these only."""
    for item, metadata, spec in render.pods(items):
        spec = copy.deepcopy(spec)
        for key in _MADE_ELSEWHERE:
            spec.pop(key, None)
        yield {"apiVersion": "v1", "kind": "Pod", "spec": spec,
               "metadata": {"name": item["metadata"]["name"], "namespace": render.NAMESPACE,
                            "labels": metadata["labels"],
                            "annotations": metadata.get("annotations", {})}}


class ClusterTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": render.NAMESPACE,
            "labels": {f"pod-security.kubernetes.io/{mode}": "restricted"
                       for mode in ("enforce", "warn", "audit")}}}
        must("create", "-f", "-", stdin=yaml.safe_dump(namespace))
        cls.stack.callback(must, "delete", "namespace", render.NAMESPACE, "--wait=false")
        for path in sorted(DEFINITIONS.glob("*.yaml")):
            if kubectl("get", "customresourcedefinition", path.stem)[0] != 0:
                must("create", "-f", str(path))
                cls.stack.callback(must, "delete", "customresourcedefinition", path.stem)
            must("wait", "--for=condition=Established", "--timeout=60s",
                 f"customresourcedefinition/{path.stem}")
        must("wait", "--for=create", "--timeout=60s", "-n", render.NAMESPACE,
             "serviceaccount/default")
        cls.has_image_volumes = cls.try_image_volumes()

    @classmethod
    def try_image_volumes(cls):
        """Whether they are kept: with their feature gate off, the server drops them silently."""
        items = render.manifests({"model": {"image": {"reference": "models/mixtral:1"}}})
        (pod, *_) = as_pods(items)
        made = json.loads(must("create", "--dry-run=server", "--validate=strict", "-o", "json",
                               "-f", "-", stdin=yaml.safe_dump(pod)))
        return any("image" in volume for volume in made["spec"].get("volumes", []))

    def check(self, values):
        on_host = bool(values["model"].get("hostPath", {}).get("path"))
        items = render.manifests(values)
        accepted, said = dry_run(items)
        self.assertTrue(accepted, said)
        warnings = [line for line in said.splitlines() if line.startswith("Warning:")]
        if on_host:  # the only thing that is wrong with these
            self.assertTrue(warnings)
            for warning in warnings:
                self.assertIn('restricted volume types (volume "model" uses restricted volume type '
                              '"hostPath")', warning)
        else:
            self.assertEqual(warnings, [])
        accepted, said = dry_run(list(as_pods(items)))
        self.assertEqual(accepted, not on_host, said)
        return len(items)

    def test_the_least_values(self):
        self.check(chart.MODEL)

    def test_every_example(self):
        for path in chart.EXAMPLES:
            with self.subTest(path.name):
                self.check(chart.read_yaml(path))

    def test_values_at_random(self):
        count = 0
        for seed in SEEDS:
            with self.subTest(seed):
                count += self.check(random_values.values(seed))
        print(f"{count} manifests of {len(SEEDS)} random values were accepted", file=sys.stderr)

    def test_image_volumes(self):
        if not self.has_image_volumes:
            self.skipTest("the API server has the feature gate ImageVolume off, and drops them")

    def test_pod_security_refuses_host_paths_as_documented(self):
        items = render.manifests({"model": {"hostPath": {"path": "/srv/models"}}})
        accepted, said = dry_run(list(as_pods(items)))
        self.assertFalse(accepted)
        self.assertIn('violates PodSecurity "restricted', said)
        self.assertIn('uses restricted volume type "hostPath"', said)

    def test_the_server_finds_what_is_wrong(self):
        """Of each kind that is rendered, a copy with a field that it does not have is refused."""
        values = chart.merged(chart.read_yaml(chart.CHART / "examples" / "secured.yaml"), {
            "ingress": {"enabled": True, "hosts": ["a.example.com"]},
            "grpcRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]}})
        seen = {item["kind"]: item for item in render.manifests(values)}
        self.assertLessEqual({"ScaledObject", "Certificate", "Issuer", "PodMonitor",
                              "PrometheusRule", "GRPCRoute", "Ingress"}, set(seen))
        for kind, item in seen.items():
            broken = copy.deepcopy(item)
            broken.get("spec", broken)["noSuchField"] = 1
            with self.subTest(kind):
                accepted, said = dry_run([broken])
                self.assertFalse(accepted)
                self.assertIn("noSuchField", said)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    DEFINITIONS = pathlib.Path(sys.argv.pop(1))
    unittest.main()
