"""What single values do to the manifests: TLS, the test pod, monitoring, autoscaling."""

import unittest

import chart
import render
from render import flags_of as flags, of_name, pod, rendered_with, workload

TWO_SHARDS = chart.merged(chart.MODEL, {"expertWorkers": {"shards": [
    {"name": "low", "experts": "0-3"}, {"name": "high", "experts": "4-7"}]}})
SECRETS = {"enabled": True, "secrets": {"coordinator": "c-tls", "attentionWorkers": "a-tls",
                                        "expertWorkers": "e-tls"}}


class TlsTest(unittest.TestCase):

    def setUp(self):
        self.base = chart.merged(chart.MODEL, {"tls": SECRETS})

    def test_each_role_shows_its_certificate_and_expects_its_peers(self):
        items = render.manifests(self.base)
        worker = flags(items, "expert-all")
        self.assertEqual([worker[name] for name in ("tls_cert", "tls_key", "tls_ca")],
                         [f"/etc/tramontane/tls/{name}" for name in ("tls.crt", "tls.key", "ca.crt")])
        self.assertEqual(worker["allowed_peers"], "demo-tramontane-coordinator.tramontane-dry-run.svc")
        self.assertEqual(flags(items, "coordinator")["worker_tls_name"],
                         "demo-tramontane-expert-worker.tramontane-dry-run.svc")
        secrets = [volume["secret"]["secretName"] for volume in pod(items, "expert-all")["volumes"]
                   if "secret" in volume]
        self.assertEqual(secrets, ["e-tls"])

    def test_secrets_can_be_read_by_the_process(self):
        for group in (65532, None):
            items = render.manifests(chart.merged(self.base, {"podSecurity": {"fsGroup": group}}))
            (volume,) = [each for each in pod(items, "expert-all")["volumes"] if "secret" in each]
            # Of the volume's group, or with Kubernetes' default mode of everybody.
            self.assertEqual(volume["secret"].get("defaultMode"), 0o440 if group else None)
            self.assertEqual(pod(items, "expert-all")["securityContext"].get("fsGroup"), group)

    def test_with_attention_workers_they_are_the_experts_peers(self):
        items = rendered_with("attentionWorkers.replicas", 1, self.base)
        attention = "demo-tramontane-attention-worker.tramontane-dry-run.svc"
        self.assertEqual(flags(items, "expert-all")["allowed_peers"], attention)
        self.assertEqual(flags(items, "coordinator")["worker_tls_name"], attention)
        self.assertEqual(flags(items, "attention")["allowed_peers"],
                         "demo-tramontane-coordinator.tramontane-dry-run.svc")
        self.assertEqual(flags(items, "attention")["worker_tls_name"],
                         "demo-tramontane-expert-worker.tramontane-dry-run.svc")

    def test_cert_manager_makes_certificates_with_those_names(self):
        items = render.manifests(chart.merged(chart.MODEL, {"tls": {
            "enabled": True, "certManager": {"enabled": True, "extraApiNames": ["api.example.com"]}}}))
        certificates = {item["spec"]["secretName"]: item["spec"]
                        for item in render.of_kind(items, "Certificate")}
        worker = certificates["demo-tramontane-expert-worker-tls"]
        self.assertIn(flags(items, "coordinator")["worker_tls_name"], worker["dnsNames"])
        api = certificates["demo-tramontane-coordinator-tls"]
        self.assertIn(flags(items, "expert-all")["allowed_peers"], api["dnsNames"])
        for name in ("demo-tramontane", "demo-tramontane.tramontane-dry-run.svc",
                     "demo-tramontane-headless.tramontane-dry-run", "api.example.com"):
            self.assertIn(name, api["dnsNames"])
        self.assertEqual(worker["issuerRef"]["name"], "demo-tramontane-ca")
        self.assertEqual(certificates["demo-tramontane-ca"]["isCA"], True)
        self.assertEqual({item["metadata"]["name"] for item in render.of_kind(items, "Issuer")},
                         {"demo-tramontane-ca", "demo-tramontane-selfsigned"})

    def test_a_company_s_issuer_needs_none_of_ours(self):
        items = render.manifests(chart.merged(chart.MODEL, {"tls": {"enabled": True, "certManager": {
            "enabled": True, "issuerRef": {"name": "company", "kind": "ClusterIssuer"}}}}))
        self.assertEqual(render.of_kind(items, "Issuer"), [])
        for item in render.of_kind(items, "Certificate"):
            self.assertEqual(item["spec"]["issuerRef"]["name"], "company")

    def test_the_api_may_have_a_certificate_of_its_own_or_none(self):
        items = rendered_with("api.tls", {"secretName": "api", "clientCaSecret": "ca"}, self.base)
        self.assertEqual(flags(items, "coordinator")["api_tls_cert"],
                         "/etc/tramontane/api-tls/tls.crt")
        self.assertEqual(flags(items, "coordinator")["api_client_ca"],
                         "/etc/tramontane/api-client-ca/ca.crt")
        items = rendered_with("api.tls.plaintext", True, self.base)
        self.assertEqual(flags(items, "coordinator")["api_plaintext"], "true")
        service = of_name(items, "Service", "demo-tramontane")
        self.assertEqual(service["spec"]["ports"][0]["appProtocol"], "kubernetes.io/h2c")
        service = of_name(render.manifests(self.base), "Service", "demo-tramontane")
        self.assertNotIn("appProtocol", service["spec"]["ports"][0])


class HelmTestTest(unittest.TestCase):

    def pods_of(self, values=None):
        return [item for item in render.manifests(chart.merged(chart.MODEL, values or {}))
                if item["kind"] == "Pod"]

    def test_it_asks_the_api_and_is_a_hook(self):
        (item,) = self.pods_of()
        self.assertEqual(item["metadata"]["annotations"]["helm.sh/hook"], "test")
        flags_of_it = render.flags(item["spec"]["containers"][0])
        self.assertEqual(flags_of_it["target"], "demo-tramontane:8470")
        self.assertNotIn("tls", flags_of_it)

    def test_it_trusts_the_cluster_s_ca(self):
        (item,) = self.pods_of({"tls": SECRETS})
        self.assertEqual(render.flags(item["spec"]["containers"][0])["tls_ca"],
                         "/etc/tramontane/ca/ca.crt")
        (volume,) = item["spec"]["volumes"]
        self.assertEqual((volume["secret"]["secretName"], volume["secret"]["items"][0]["key"]),
                         ("c-tls", "ca.crt"))

    def test_it_is_left_out_where_it_could_only_fail(self):
        guarded = {"api": {"tokensSecret": {"name": "tokens"}}}
        self.assertEqual(self.pods_of(guarded), [])
        (item,) = self.pods_of({**guarded, "helmTest": {"tokenSecret": {"name": "mine"}}})
        found = render.flags(item["spec"]["containers"][0])
        self.assertEqual(found["api_token_file"], "/etc/tramontane/token/token")
        self.assertEqual(found["allow_plaintext_beyond_loopback"], "true")
        self.assertEqual(self.pods_of({"helmTest": {"enabled": False}}), [])


class MonitoringTest(unittest.TestCase):

    def test_rules_and_dashboards_are_the_files(self):
        items = rendered_with("monitoring", {"prometheusRule": {"enabled": True},
                                             "dashboards": {"enabled": True}})
        rules = {item["metadata"]["name"]: item["spec"]
                 for item in render.of_kind(items, "PrometheusRule")}
        files = sorted((chart.CHART / "files/prometheus").glob("*.rules.yml"))
        self.assertEqual(len(rules), len(files))
        for path in files:
            name = f"demo-tramontane-{path.name.removesuffix('.rules.yml').replace('_', '-')}"
            self.assertEqual(rules[name], chart.read_yaml(path))
        boards = render.of_kind(items, "ConfigMap")
        files = sorted((chart.CHART / "files/dashboards").glob("*.json"))
        self.assertEqual({name: text for item in boards for name, text in item["data"].items()},
                         {path.name: path.read_text(encoding="utf-8") for path in files})
        for item in boards:
            self.assertEqual(item["metadata"]["labels"]["grafana_dashboard"], "1")
            self.assertLess(len(next(iter(item["data"].values()))), 1 << 20)

    def test_alerts_link_to_their_runbooks_where_these_are(self):
        page = "https://git.example.com/tramontane/docs/alerts.md"
        for url in ("", page):
            items = rendered_with("monitoring.prometheusRule", {"enabled": True, "runbookUrl": url})
            alerts = [rule for item in render.of_kind(items, "PrometheusRule")
                      for group in item["spec"]["groups"] for rule in group["rules"]
                      if "alert" in rule]
            self.assertGreater(len(alerts), 10)
            for rule in alerts:
                self.assertEqual(rule["annotations"].get("runbook_url"),
                                 f"{url}#{rule['alert'].lower()}" if url else None)
                self.assertIn("runbook", rule["annotations"])

    def test_monitors_find_every_pod_and_label_it(self):
        base = chart.merged(TWO_SHARDS, {"attentionWorkers": {"replicas": 1},
                                         "model": {"name": "mixtral"}})
        for kind, path, endpoints in (("PodMonitor", "podMonitor", "podMetricsEndpoints"),
                                      ("ServiceMonitor", "serviceMonitor", "endpoints")):
            items = rendered_with(f"monitoring.{path}.enabled", True, base)
            monitor = of_name(items, kind, "demo-tramontane")["spec"]
            (endpoint,) = monitor[endpoints]
            written = {rule["targetLabel"]: rule for rule in endpoint["relabelings"]}
            self.assertEqual(written["model"]["replacement"], "mixtral")
            self.assertEqual(set(written), {"model", "component", "shard"})
            if kind == "PodMonitor":
                for item, metadata, _ in render.pods(items):
                    self.assertEqual(render.selects(monitor["selector"], metadata["labels"]),
                                     item["kind"] != "Pod")
                continue
            chosen = [service for service in render.of_kind(items, "Service")
                      if render.selects(monitor["selector"], service["metadata"]["labels"])
                      and any(port["name"] == "metrics" for port in service["spec"]["ports"])]
            self.assertEqual({service["metadata"]["name"] for service in chosen},
                             {f"demo-tramontane-{name}" for name in
                              ("headless", "attention", "expert-low", "expert-high")})


class AutoscalingTest(unittest.TestCase):

    def scaled(self, **settings):
        base = {"enabled": True, "minReplicas": 2, "maxReplicas": 6}
        return rendered_with("expertWorkers.autoscaling", {**base, **settings}, TWO_SHARDS)

    def test_each_shard_has_its_own(self):
        items = self.scaled()
        found = render.of_kind(items, "HorizontalPodAutoscaler")
        self.assertEqual([item["spec"]["scaleTargetRef"]["name"] for item in found],
                         ["demo-tramontane-expert-low", "demo-tramontane-expert-high"])
        (metric,) = found[0]["spec"]["metrics"]
        self.assertEqual(metric["pods"]["metric"]["name"], "tramontane_expert_worker_busy")
        self.assertEqual(metric["pods"]["target"], {"type": "AverageValue", "averageValue": "0.7"})
        self.assertNotIn("replicas", workload(items, "expert-low")["spec"])

    def test_rows_are_the_adapter_s_metric_that_is_named(self):
        metric = "tramontane_expert_worker_rows_per_second"
        items = self.scaled(metric="rows", target=250000, podsMetric=metric)
        (found,) = of_name(items, "HorizontalPodAutoscaler",
                           "demo-tramontane-expert-low")["spec"]["metrics"]
        self.assertEqual(found["pods"], {
            "metric": {"name": metric},
            "target": {"type": "AverageValue", "averageValue": "250000"}})

    def test_keda_asks_prometheus_for_the_shard_s_pods(self):
        items = self.scaled(kind="keda", prometheusAddress="http://prometheus:9090", metric="rows",
                            target=2000000)
        spec = of_name(items, "ScaledObject", "demo-tramontane-expert-low")["spec"]
        (trigger,) = spec["triggers"]
        self.assertEqual(trigger["metadata"]["threshold"], "2000000")
        self.assertEqual(trigger["metadata"]["query"],
                         'sum(rate(tramontane_expert_worker_rows_total{namespace="tramontane-dry-run",'
                         'pod=~"demo-tramontane-expert-low-[0-9]+"}[2m]))')
        self.assertEqual((spec["minReplicaCount"], spec["maxReplicaCount"]), (2, 6))

    def test_cpu_needs_no_adapter(self):
        base = chart.merged(TWO_SHARDS, chart.at("expertWorkers.resources", {"requests": {"cpu": 4}}))
        items = rendered_with("expertWorkers.autoscaling",
                              {"enabled": True, "metric": "cpu", "target": 70}, base)
        (metric,) = of_name(items, "HorizontalPodAutoscaler",
                            "demo-tramontane-expert-low")["spec"]["metrics"]
        self.assertEqual(metric["resource"], {"name": "cpu", "target": {
            "type": "Utilization", "averageUtilization": 70}})


if __name__ == "__main__":
    unittest.main()
