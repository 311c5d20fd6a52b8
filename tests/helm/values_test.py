"""What single values do to the manifests: shards, pods, the model."""

import unittest

import chart
import render
import rendered
from render import container, flags_of as flags, of_name, pod, rendered_with, workload

TWO_SHARDS = chart.merged(chart.MODEL, {"expertWorkers": {"shards": [
    {"name": "low", "experts": "0-3"}, {"name": "high", "experts": "4-7"}]}})


class ShardsTest(unittest.TestCase):

    def experts_flag(self, shard, **model):
        values = chart.merged(chart.MODEL, {"model": model, "expertWorkers": {"shards": [
            {"name": "x", **shard}, {"name": "rest", "experts": "all"}]}})
        return flags(render.manifests(values), "expert-x")["experts"]

    def test_experts_and_layers_become_the_flag(self):
        self.assertEqual(self.experts_flag({"experts": "0-3"}), "0-3")
        self.assertEqual(self.experts_flag({"experts": 0}), "0")
        self.assertEqual(self.experts_flag({"experts": "0,5", "layers": "0-15"}), "0-15:0,0-15:5")
        self.assertEqual(self.experts_flag({"experts": "0-3", "layers": "0-3,8"}), "0-3:0-3,8:0-3")
        self.assertEqual(self.experts_flag({"experts": 7, "layers": 0}), "0:7")
        self.assertEqual(self.experts_flag({"experts": "all", "layers": 5}, numExperts=16), "5:0-15")

    def test_a_shard_s_keys_go_before_the_defaults(self):
        values = chart.merged(chart.MODEL, {"expertWorkers": {
            "replicas": 3, "extraFlags": {"max_queued_batches": 128, "merge_linger_us": 50},
            "resources": {"requests": {"cpu": 2}, "limits": {"cpu": 4}},
            "drain": {"timeoutSeconds": 40},
            "shards": [{"name": "low", "experts": "0-3"},
                       {"name": "high", "experts": "4-7", "replicas": 5,
                        "extraFlags": {"merge_linger_us": 100},
                        "resources": {"requests": {"memory": "1Gi"}},
                        "drain": {"preStopSeconds": 7}}]}})
        items = render.manifests(values)
        self.assertEqual([workload(items, name)["spec"]["replicas"]
                          for name in ("expert-low", "expert-high")], [3, 5])
        self.assertEqual(flags(items, "expert-high")["merge_linger_us"], "100")
        self.assertEqual(flags(items, "expert-high")["max_queued_batches"], "128")
        self.assertEqual(container(items, "expert-high")["resources"], {"requests": {"memory": "1Gi"}})
        self.assertEqual(pod(items, "expert-high")["terminationGracePeriodSeconds"], 7 + 40 + 15)
        self.assertEqual(flags(items, "expert-low")["merge_linger_us"], "50")
        self.assertEqual(pod(items, "expert-low")["terminationGracePeriodSeconds"], 40 + 15)

    def test_large_numbers_stay_numbers(self):
        items = rendered_with("expertWorkers.extraFlags", {"max_batch_rows": 12345678, "x": 0.5})
        self.assertEqual(flags(items, "expert-all")["max_batch_rows"], "12345678")
        self.assertEqual(flags(items, "expert-all")["x"], "0.5")
        items = rendered_with("attention.kvCacheTokens", 1000000000)
        self.assertEqual(flags(items, "coordinator")["kv_cache_tokens"], "1000000000")

    def test_gpus_are_limits_beside_the_others(self):
        base = chart.merged(chart.MODEL, chart.at("expertWorkers.resources", {"limits": {"cpu": 4}}))
        items = rendered_with("expertWorkers.gpus", 2, base)
        self.assertEqual(container(items, "expert-all")["resources"],
                         {"limits": {"cpu": 4, "nvidia.com/gpu": 2}})

    def test_replicas_keep_apart_within_their_shard(self):
        items = render.manifests(TWO_SHARDS)
        (term,) = pod(items, "expert-low")["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"]
        selector = term["podAffinityTerm"]["labelSelector"]
        own, other = (workload(items, name)["spec"]["template"]["metadata"]["labels"]
                      for name in ("expert-low", "expert-high"))
        self.assertTrue(render.selects(selector, own))
        self.assertFalse(render.selects(selector, other))
        constraints = pod(items, "expert-low")["topologySpreadConstraints"]
        self.assertEqual({each["topologyKey"] for each in constraints},
                         {"topology.kubernetes.io/zone", "kubernetes.io/hostname"})
        for each in constraints:
            self.assertTrue(render.selects(each["labelSelector"], own))
            self.assertFalse(render.selects(each["labelSelector"], other))

    def test_anti_affinity_can_be_a_condition_or_the_user_s(self):
        items = rendered_with("expertWorkers.antiAffinity", "required")
        rule = pod(items, "expert-all")["affinity"]["podAntiAffinity"]
        self.assertIn("requiredDuringSchedulingIgnoredDuringExecution", rule)
        own = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
        items = rendered_with("expertWorkers.affinity", own)
        self.assertEqual(pod(items, "expert-all")["affinity"], own)
        items = rendered_with("expertWorkers", {"antiAffinity": "none",
                                                "spread": {"zones": "none", "hosts": "none"}})
        self.assertNotIn("affinity", pod(items, "expert-all"))
        self.assertNotIn("topologySpreadConstraints", pod(items, "expert-all"))


    def test_a_change_of_shards_restarts_nothing_else(self):
        """Not even the coordinator, which finds workers by one name."""
        for attention in (0, 1):
            base = {"attentionWorkers": {"replicas": attention}}
            before = render.manifests(chart.merged(chart.MODEL, base))
            after = render.manifests(chart.merged(TWO_SHARDS, base))
            for name in ("coordinator", "attention")[:attention + 1]:
                self.assertEqual(pod(before, name), pod(after, name))

    def test_lists_and_maps_that_are_null_are_empty(self):
        def emptied(values):
            return {key: emptied(value) if isinstance(value, dict) and value else None
                    for key, value in values.items() if isinstance(value, (dict, list))}
        given = emptied(chart.defaults())
        del given["expertWorkers"]["shards"], given["networkPolicy"]["dns"]  # refused
        more = {"tls": {"enabled": True, "certManager": {"enabled": True}},
                "attentionWorkers": {"replicas": 1},
                "model": {"pvc": {"claimName": ""}, "init": {"containers": [
                    {"name": "get", "image": "get:1"}]}}}
        items = render.manifests(chart.merged(chart.merged(chart.MODEL, given), more))
        self.assertEqual(list(rendered.faults(items)), [])


class DevicesTest(unittest.TestCase):

    def test_gpus_make_a_device_of_the_role_that_has_them(self):
        for role, name in (("coordinator", "coordinator"), ("expertWorkers", "expert-all")):
            items = rendered_with(f"{role}.gpus", 2)
            for other in ("coordinator", "expert-all"):
                self.assertEqual(flags(items, other).get("device"),
                                 "cuda:0" if other == name else None)
        items = rendered_with("attentionWorkers", {"replicas": 1, "gpus": 1})
        self.assertEqual(flags(items, "attention")["device"], "cuda:0")
        self.assertNotIn("device", flags(items, "coordinator"))

    def test_a_device_that_is_named_wins(self):
        items = rendered_with("expertWorkers", {"gpus": 2, "device": "cuda:1"})
        self.assertEqual(flags(items, "expert-all")["device"], "cuda:1")
        items = rendered_with("expertWorkers", {"gpus": 1, "device": "cpu"})
        self.assertEqual(flags(items, "expert-all")["device"], "cpu")

    def test_a_shard_has_a_device_of_its_own(self):
        items = rendered_with("expertWorkers", {"gpus": 1, "shards": [
            {"name": "fast", "experts": "all"}, {"name": "spare", "experts": "all", "gpus": 0}]})
        self.assertEqual(flags(items, "expert-fast")["device"], "cuda:0")
        self.assertNotIn("device", flags(items, "expert-spare"))
        self.assertNotIn("resources", container(items, "expert-spare"))

    def test_gpus_may_come_by_other_means(self):
        for means in ({"runtimeClassName": "nvidia"}, {"resources": {"claims": [{"name": "gpu"}]}},
                      {"resources": {"limits": {"nvidia.com/mig-1g.10gb": 1}}},
                      {"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}):
            items = rendered_with("expertWorkers", {"device": "cuda:0", **means})
            self.assertEqual(flags(items, "expert-all")["device"], "cuda:0")

    def test_a_device_takes_the_images_of_its_variant(self):
        values = {"gpus": 1, "shards": [{"name": "fast", "experts": "all"},
                                        {"name": "slow", "experts": "all", "gpus": 0}]}
        version = chart.read_yaml(chart.CHART / "Chart.yaml")["appVersion"]
        for image, plain, cuda in (({}, version, f"{version}-cuda"), ({"tag": "7"}, "7", "7-cuda"),
                                   ({"tag": "7-cuda"}, "7-cuda", "7-cuda"),
                                   ({"tag": "7", "cudaTag": "8"}, "7", "8")):
            items = render.manifests(chart.merged(chart.MODEL, {
                "image": image, "expertWorkers": values}))
            self.assertEqual(
                [container(items, name)["image"].partition(":")[2]
                 for name in ("coordinator", "expert-slow", "expert-fast")],
                [plain, plain, cuda])
        items = rendered_with("expertWorkers.image.tag", "9",
                              chart.merged(chart.MODEL, {"expertWorkers": values}))
        self.assertEqual(container(items, "expert-fast")["image"], "tramontane/expert-worker:9")

    def test_unlike_devices_are_allowed_where_attention_runs(self):
        for replicas, owner in ((0, "coordinator"), (1, "attention")):
            items = render.manifests(chart.merged(chart.MODEL, {
                "attention": {"allowMixedBackends": True}, "attentionWorkers": {"replicas": replicas}}))
            for item in render.of_kind(items, *render.WORKLOADS):
                found = render.flags(render.pod_template(item)["spec"]["containers"][0])
                self.assertEqual("allow_mixed_backends" in found,
                                 item["metadata"]["name"] == f"demo-tramontane-{owner}")
        self.assertNotIn("allow_mixed_backends",
                         flags(render.manifests(chart.MODEL), "coordinator"))


class BudgetsTest(unittest.TestCase):

    def test_they_follow_any_number_of_replicas(self):
        for replicas in (1, 2, 7):
            items = rendered_with("expertWorkers.replicas", replicas)
            budget = of_name(items, "PodDisruptionBudget", "demo-tramontane-expert-all")["spec"]
            # A number of those away, never of those there: 1 of 1 may go, so that no drain hangs.
            self.assertEqual(budget["maxUnavailable"], 1)
            self.assertNotIn("minAvailable", budget)
            self.assertEqual(budget["unhealthyPodEvictionPolicy"], "AlwaysAllow")

    def test_they_can_forbid_or_be_left_out(self):
        items = rendered_with("expertWorkers.podDisruptionBudget.maxUnavailable", 0)
        budget = of_name(items, "PodDisruptionBudget", "demo-tramontane-expert-all")
        self.assertEqual(budget["spec"]["maxUnavailable"], 0)
        items = rendered_with("expertWorkers.podDisruptionBudget.enabled", False)
        self.assertEqual([item["metadata"]["name"]
                          for item in render.of_kind(items, "PodDisruptionBudget")],
                         ["demo-tramontane-coordinator"])


class DrainTest(unittest.TestCase):

    def test_the_grace_period_is_the_sum(self):
        items = rendered_with("coordinator.drain", {"preStopSeconds": 20, "timeoutSeconds": 300})
        spec = pod(items, "coordinator")
        self.assertEqual(spec["terminationGracePeriodSeconds"], 20 + 300 + 15)
        self.assertEqual(spec["containers"][0]["lifecycle"], {"preStop": {"sleep": {"seconds": 20}}})
        self.assertEqual(flags(items, "coordinator")["drain_timeout_s"], "300")

    def test_a_grace_period_that_is_long_enough_is_taken(self):
        items = rendered_with("coordinator.drain", {"gracePeriodSeconds": 145})
        self.assertEqual(pod(items, "coordinator")["terminationGracePeriodSeconds"], 145)

    def test_parts_of_seconds_are_rounded_up(self):
        items = rendered_with("coordinator.drain", {"preStopSeconds": 0, "timeoutSeconds": 0.5})
        self.assertEqual(pod(items, "coordinator")["terminationGracePeriodSeconds"], 16)
        self.assertNotIn("lifecycle", container(items, "coordinator"))

    def test_loading_has_its_time(self):
        items = rendered_with("expertWorkers.startupTimeoutSeconds", 3601)
        probe = container(items, "expert-all")["startupProbe"]
        self.assertGreaterEqual(probe["periodSeconds"] * probe["failureThreshold"], 3601)
        self.assertGreater(workload(items, "coordinator")["spec"]["progressDeadlineSeconds"], 3601)


class UpdatesTest(unittest.TestCase):

    def strategy(self, given, attention_workers=0):
        items = render.manifests(chart.merged(chart.MODEL, {
            "coordinator": {"updateStrategy": given},
            "attentionWorkers": {"replicas": attention_workers}}))
        return workload(items, "coordinator")["spec"]["strategy"]

    def test_the_new_one_comes_first_where_it_can_become_ready(self):
        self.assertEqual(self.strategy({}), {
            "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
        self.assertEqual(self.strategy({}, attention_workers=1), {"type": "Recreate"})

    def test_the_old_one_goes_first_where_there_is_no_room_for_two(self):
        for attention_workers in (0, 1):
            self.assertEqual(self.strategy({"type": "Recreate"}, attention_workers),
                             {"type": "Recreate"})
        self.assertEqual(self.strategy({"type": "Recreate", "rollingUpdate": None}),
                         {"type": "Recreate"})
        self.assertEqual(self.strategy({"rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}}), {
            "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}})

    def test_the_example_whose_gpus_are_all_taken_ends_the_old_one_first(self):
        items = render.manifests(chart.read_yaml(chart.CHART / "examples" / "eight-gpus.yaml"))
        gpus = sum(item["spec"]["replicas"] *
                   spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
                   for item, _, spec in render.pods(items) if item["kind"] != "Pod")
        self.assertEqual(gpus, 8)
        self.assertEqual(workload(items, "coordinator")["spec"]["strategy"], {"type": "Recreate"})


class ModelTest(unittest.TestCase):

    def volume(self, model):
        items = render.manifests({"model": model})
        for item, _, spec in render.pods(items):
            if item["kind"] != "Pod":
                (volume,) = [each for each in spec["volumes"] if each["name"] == "model"]
                yield volume

    def test_each_source_is_one_volume(self):
        for model, expected in (
                ({"pvc": {"claimName": "m"}},
                 {"persistentVolumeClaim": {"claimName": "m", "readOnly": True}}),
                ({"pvc": {"claimName": "m", "readOnly": False}},
                 {"persistentVolumeClaim": {"claimName": "m", "readOnly": False}}),
                ({"hostPath": {"path": "/srv/m"}},
                 {"hostPath": {"path": "/srv/m", "type": "Directory"}}),
                ({"image": {"reference": "m:1"}},
                 {"image": {"reference": "m:1", "pullPolicy": "IfNotPresent"}}),
                ({"init": {"containers": [{"name": "get", "image": "get:1"}]}}, {"emptyDir": {}}),
                ({"init": {"containers": [{"name": "get", "image": "get:1"}], "sizeLimit": "99Gi"}},
                 {"emptyDir": {"sizeLimit": "99Gi"}})):
            for volume in self.volume(model):
                self.assertEqual(volume, {"name": "model", **expected})

    def test_the_directory_and_the_name(self):
        items = rendered_with("model.path", "Mixtral-8x7B-v0.1/")
        self.assertEqual(flags(items, "expert-all")["model"], "/model/Mixtral-8x7B-v0.1")
        self.assertNotIn("model_name", flags(items, "coordinator"))
        items = rendered_with("model.name", "mixtral")
        self.assertEqual(flags(items, "coordinator")["model_name"], "mixtral")

    def test_init_containers_get_the_volume_and_the_restrictions(self):
        items = render.manifests({"model": {"init": {"containers": [
            {"name": "get", "image": "get:1", "command": ["get", "--to=/model"]}]}}})
        (init,) = pod(items, "expert-all")["initContainers"]
        self.assertIn({"name": "model", "mountPath": "/model"}, init["volumeMounts"])
        self.assertEqual(init["command"], ["get", "--to=/model"])
        self.assertEqual(list(rendered.pods_are_restricted(items)), [])


class AttentionTest(unittest.TestCase):

    def test_flags_go_to_whoever_runs_attention(self):
        base = chart.merged(chart.MODEL, {"attention": {
            "kvCacheTokens": 65536, "kvBlockSize": 32, "maxStepTokens": 256, "hedgeAfter": 3}})
        alone = flags(render.manifests(base), "coordinator")
        self.assertEqual([alone[name] for name in ("kv_cache_tokens", "kv_block_size",
                                                   "max_step_tokens", "hedge_after")],
                         ["65536", "32", "256", "3"])
        items = rendered_with("attentionWorkers.replicas", 2, base)
        coordinator, worker = flags(items, "coordinator"), flags(items, "attention")
        self.assertEqual(coordinator["attention_workers"], "demo-tramontane-attention:8480")
        for name in ("kv_cache_tokens", "hedge_after", "expert_workers"):
            self.assertNotIn(name, coordinator)
            self.assertIn(name, worker)
        for name in ("kv_block_size", "max_step_tokens"):
            self.assertEqual(coordinator[name], worker[name])


if __name__ == "__main__":
    unittest.main()
