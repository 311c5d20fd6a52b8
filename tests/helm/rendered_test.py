"""Each check of rendered.py finds what it is for in manifests that were broken on purpose."""

import copy
import unittest

import chart
import render
import rendered


def _pod(item):
    return render.pod_template(item)["spec"]


def _container(item):
    return _pod(item)["containers"][0]


def _set_flag(item, name, value):
    arguments = _container(item)["args"]
    arguments[:] = [each for each in arguments if not each.startswith(f"--{name}=")]
    arguments.append(f"--{name}={value}")


# (check, kind and name of what is broken, how).
BROKEN = [
    ("one_namespace_and_unique_names", "Service/demo-tramontane",
     lambda item: item["metadata"].update(namespace="default")),
    ("one_namespace_and_unique_names", "StatefulSet/demo-tramontane-expert-all",
     lambda item: item["metadata"].update(name="a" * 53)),
    ("one_namespace_and_unique_names", "Service/demo-tramontane",
     lambda item: item["metadata"].update(name="demo-tramontane-headless")),
    ("one_namespace_and_unique_names", "Service/demo-tramontane",
     lambda item: item["metadata"]["labels"].pop("app.kubernetes.io/version")),
    ("selectors_match_their_pods", "Deployment/demo-tramontane-coordinator",
     lambda item: item["spec"]["selector"]["matchLabels"].update(x="y")),
    ("selectors_match_their_pods", "Service/demo-tramontane",
     lambda item: item["spec"]["selector"].pop("app.kubernetes.io/component")),
    ("selectors_match_their_pods", "PodDisruptionBudget/demo-tramontane-expert-all",
     lambda item: item["spec"]["selector"]["matchLabels"].update({"tramontane/shard": "a"})),
    ("selectors_match_their_pods", "NetworkPolicy/demo-tramontane-experts",
     lambda item: item["spec"]["podSelector"]["matchLabels"].update(x="y")),
    ("selectors_match_their_pods", "StatefulSet/demo-tramontane-expert-all",
     lambda item: item["spec"].update(serviceName="demo-tramontane")),
    ("pods_are_restricted", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _pod(item)["securityContext"].pop("runAsNonRoot")),
    ("pods_are_restricted", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _pod(item)["securityContext"].update(runAsUser=0)),
    ("pods_are_restricted", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("pods_are_restricted", "Deployment/demo-tramontane-coordinator",
     lambda item: _pod(item).update(automountServiceAccountToken=True)),
    ("pods_are_restricted", "Deployment/demo-tramontane-coordinator",
     lambda item: _pod(item).update(hostNetwork=True)),
    ("nobody_has_rights", "ServiceAccount/demo-tramontane-coordinator",
     lambda item: item.update(kind="RoleBinding")),
    ("nobody_has_rights", "ServiceAccount/demo-tramontane-coordinator",
     lambda item: item.update(automountServiceAccountToken=True)),
    ("devices_are_of_the_image_s_variant", "Deployment/demo-tramontane-coordinator",
     lambda item: _set_flag(item, "device", "cuda:0")),
    ("devices_are_of_the_image_s_variant", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item).update(resources={"limits": {"nvidia.com/gpu": 1}})),
    ("volumes_and_mounts_agree", "Deployment/demo-tramontane-coordinator",
     lambda item: _pod(item)["volumes"].append({"name": "spare", "emptyDir": {}})),
    ("volumes_and_mounts_agree", "Deployment/demo-tramontane-coordinator",
     lambda item: _container(item)["volumeMounts"][0].pop("readOnly")),
    ("files_in_flags_are_mounted", "Deployment/demo-tramontane-coordinator",
     lambda item: _set_flag(item, "model", "/models/mixtral")),
    ("probes_ask_the_health_port", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item)["livenessProbe"]["grpc"].pop("service")),
    ("probes_ask_the_health_port", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item)["readinessProbe"]["grpc"].update(service="live")),
    ("probes_ask_the_health_port", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item)["startupProbe"]["grpc"].update(service="live")),
    ("probes_ask_the_health_port", "Deployment/demo-tramontane-coordinator",
     lambda item: _container(item)["startupProbe"]["grpc"].pop("service")),
    ("probes_ask_the_health_port", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _set_flag(item, "health_listen", "0.0.0.0:1234")),
    ("probes_ask_the_health_port", "StatefulSet/demo-tramontane-expert-all",
     lambda item: _container(item)["livenessProbe"].update(failureThreshold=3)),
    ("drains_fit_in_the_grace_period", "Deployment/demo-tramontane-coordinator",
     lambda item: _pod(item).update(terminationGracePeriodSeconds=144)),
    ("drains_fit_in_the_grace_period", "Deployment/demo-tramontane-coordinator",
     lambda item: _set_flag(item, "drain_timeout_s", "120.5")),
    ("callers_name_services_that_exist", "Deployment/demo-tramontane-coordinator",
     lambda item: _set_flag(item, "expert_workers", "demo-tramontane-expert-b:8480")),
    ("callers_name_services_that_exist", "Service/demo-tramontane-experts",
     lambda item: item["spec"]["ports"][0].update(port=8481)),
    ("callers_name_services_that_exist", "Service/demo-tramontane-experts",
     lambda item: item["spec"]["selector"].update({"tramontane/shard": "a"})),
    ("callers_name_services_that_exist", "Service/demo-tramontane-experts",
     lambda item: item["spec"].pop("clusterIP")),
    ("updates_can_end", "Deployment/demo-tramontane-coordinator",
     lambda item: item["spec"]["strategy"].update(type="Recreate")),
    ("updates_can_end", "Deployment/demo-tramontane-coordinator",
     lambda item: item["spec"]["strategy"]["rollingUpdate"].update(maxSurge="0%")),
    ("updates_can_end", "StatefulSet/demo-tramontane-expert-all",
     lambda item: item["metadata"]["labels"].update(
         {"app.kubernetes.io/component": "attention-worker"})),
    ("replicas_are_an_autoscaler_s_or_ours", "StatefulSet/demo-tramontane-expert-all",
     lambda item: item["spec"].pop("replicas")),
]


class RenderedTest(unittest.TestCase):

    def test_each_check_finds_what_it_is_for(self):
        sound = render.manifests(chart.MODEL)
        self.assertEqual(list(rendered.faults(sound)), [])
        for check, name, break_it in BROKEN:
            items = copy.deepcopy(sound)
            (item,) = [each for each in items if render.name_of(each) == name]
            break_it(item)
            with self.subTest(f"{check}: {name}"):
                try:
                    found = list(getattr(rendered, check)(items))
                except KeyError as error:  # a name that leads nowhere is found, too
                    found = [str(error)]
                self.assertNotEqual(found, [])

    def test_every_check_is_tried(self):
        self.assertEqual({check for check, _, _ in BROKEN},
                         {check.__name__ for check in rendered.CHECKS})


if __name__ == "__main__":
    unittest.main()
