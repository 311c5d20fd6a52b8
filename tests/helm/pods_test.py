"""What single values do to the pods of every role."""

import json
import unittest

import chart
import render
import rendered
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


class FieldsTest(unittest.TestCase):
    """Settings that are Kubernetes' own."""

    ROLES = (("coordinator", "coordinator"), ("attentionWorkers", "attention"),
             ("expertWorkers", "expert-all"))

    def test_they_are_in_the_pods_of_their_role(self):
        volume = {"name": "ca", "configMap": {"name": "company-ca"}}
        mount = {"name": "ca", "mountPath": "/etc/ssl/company", "readOnly": True}
        source = {"secretRef": {"name": "proxy"}}
        dns = {"options": [{"name": "ndots", "value": "2"}]}
        for role, name in self.ROLES:
            items = rendered_with(role, {"extraVolumes": [volume], "extraVolumeMounts": [mount],
                                         "envFrom": [source], "dnsConfig": dns}, ALL_ROLES)
            for _, other in self.ROLES:
                spec, container = render.pod(items, other), render.container(items, other)
                found = (volume in spec["volumes"], mount in container["volumeMounts"],
                         container.get("envFrom") == [source], spec.get("dnsConfig") == dns)
                self.assertEqual(found, (other == name,) * 4)
            self.assertEqual(list(rendered.faults(items)), [])

    def test_workers_are_updated_as_is_said(self):
        for role, name in self.ROLES[1:]:
            for given, expected in (
                    ({}, {"type": "RollingUpdate"}), ({"type": "OnDelete"}, {"type": "OnDelete"}),
                    ({"rollingUpdate": {"partition": 2}},
                     {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})):
                items = rendered_with(f"{role}.updateStrategy", given, ALL_ROLES)
                self.assertEqual(workload(items, name)["spec"]["updateStrategy"], expected)

    def test_accounts_may_be_there_already(self):
        for role, name in self.ROLES:
            items = rendered_with(f"serviceAccounts.names.{role}", "mine", ALL_ROLES)
            self.assertEqual(render.pod(items, name)["serviceAccountName"], "mine")
            self.assertEqual(len(render.of_kind(items, "ServiceAccount")), 2)
        items = rendered_with("serviceAccounts", {
            "create": False, "names": {"coordinator": "mine"}}, ALL_ROLES)
        self.assertEqual([render.pod(items, name)["serviceAccountName"] for _, name in self.ROLES],
                         ["mine", "default", "default"])

    def test_the_test_s_pod_goes_where_it_may(self):
        given = {"nodeSelector": {"pool": "cpu"}, "tolerations": [{"operator": "Exists"}]}
        (item,) = render.of_kind(rendered_with("helmTest", given), "Pod")
        self.assertEqual({key: item["spec"][key] for key in given}, given)


class ServiceTest(unittest.TestCase):

    def test_load_balancers_and_ports_of_machines(self):
        given = {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                 "loadBalancerClass": "example.com/internal",
                 "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"]}
        items = rendered_with("coordinator.service", {**given, "nodePort": 30470})
        spec = render.of_name(items, "Service", "demo-tramontane")["spec"]
        self.assertEqual({key: spec[key] for key in given}, given)
        self.assertEqual(spec["ports"][0]["nodePort"], 30470)
        spec = render.of_name(render.manifests(chart.MODEL), "Service", "demo-tramontane")["spec"]
        self.assertEqual(set(spec), {"type", "selector", "ports"})


class InitTest(unittest.TestCase):

    def mounts(self, container, **init):
        items = render.manifests({"model": {"init": {"containers": [
            {"name": "get", "image": "get:1", **container}], **init}}})
        self.assertEqual(list(rendered.faults(items)), [])
        spec = render.pod(items, "expert-all")
        return spec["volumes"], {mount["mountPath"]: mount["name"]
                                 for mount in spec["initContainers"][0]["volumeMounts"]}

    def test_containers_can_write_to_tmp_beside_a_root_that_they_cannot(self):
        volumes, mounts = self.mounts({})
        self.assertEqual(mounts, {"/model": "model", "/tmp": "tmp"})
        self.assertIn({"name": "tmp", "emptyDir": {}}, volumes)
        self.assertNotIn("tmp", [volume["name"] for volume in
                                 render.pod(render.manifests(chart.MODEL), "expert-all")["volumes"]])

    def test_a_tmp_of_their_own_is_kept(self):
        scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}
        items = render.manifests({"model": {"init": {"volumes": [scratch], "containers": [
            {"name": "get", "image": "get:1",
             "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}]}]}}})
        spec = render.pod(items, "coordinator")
        self.assertEqual([(mount["name"], mount["mountPath"])
                          for mount in spec["initContainers"][0]["volumeMounts"]],
                         [("scratch", "/tmp"), ("model", "/model")])
        self.assertIn(scratch, spec["volumes"])

    def test_more_volumes_are_theirs(self):
        key = {"name": "key", "secret": {"secretName": "hub"}}
        volumes, mounts = self.mounts({"volumeMounts": [{"name": "key", "mountPath": "/key"}]},
                                      volumes=[key])
        self.assertEqual(mounts["/key"], "key")
        self.assertIn(key, volumes)


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
