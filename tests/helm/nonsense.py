"""Values that the chart must refuse, each with what it must say.

SCHEMA: refused by values.schema.json; (name, values, where, what helm says).
CHECKS: refused by the templates' own checks; (name, values, words that the message must have).
"""

import chart

LOW = {"name": "low", "experts": "0-3"}
HIGH = {"name": "high", "experts": "4-7"}


def shards(*items):
    return chart.at("expertWorkers.shards", list(items))


def both(*values):
    result = {}
    for value in values:
        result = chart.merged(result, value)
    return result


def _at(path, value):
    return (f"{path}={value!r}", chart.at(path, value), "/" + path.replace(".", "/"))


SCHEMA = [
    (*_at("replicas", 3), "additional properties 'replicas' not allowed"),
    (*_at("attentionWorkers", None), "missing property 'attentionWorkers'"),
    (*_at("expertWorkers.image", None), "missing property 'image'"),
    (*_at("expertWorkers.shards", None), "missing property 'shards'"),
    (*_at("model.numLayers", None), "missing property 'numLayers'"),
    (*_at("coordinator.replica", 2), "additional properties 'replica' not allowed"),
    (*_at("coordinator.replicas", "two"), "got string, want null or integer"),
    (*_at("coordinator.replicas", 0), "minimum: got 0, want 1"),
    (*_at("coordinator.updateStrategy.type", "OnDelete"), "value must be one of"),
    (*_at("coordinator.updateStrategy.rollingUpdate.maxUnavailable", "101%"),
     "does not match pattern"),
    (*_at("coordinator.updateStrategy.rollingUpdate.maxSurge", -1), "minimum: got -1, want 0"),
    (*_at("coordinator.drain.timeoutSeconds", -1), "minimum: got -1, want 0"),
    (*_at("coordinator.drain.preStopSeconds", 1.5), "got number, want integer"),
    (*_at("coordinator.service.type", "ExternalName"), "value must be one of"),
    (*_at("coordinator.service.loadBalancerSourceRanges", ["192.0.2.1"]), "does not match pattern"),
    (*_at("coordinator.extraVolumes", [{"emptyDir": {}}]), "missing property 'name'"),
    (*_at("coordinator.extraVolumeMounts", [{"name": "a", "mountPath": "b"}]),
     "does not match pattern"),
    (*_at("expertWorkers.updateStrategy.type", "Recreate"), "value must be one of"),
    (*_at("serviceAccounts.names.experts", "a"), "additional properties 'experts' not allowed"),
    (*_at("coordinator.service.port", 70000), "maximum: got 70,000, want 65,535"),
    (*_at("coordinator.image.digest", "sha256:1234"), "does not match pattern"),
    (*_at("coordinator.image.repository", ""), "minLength: got 0, want 1"),
    (*_at("coordinator.extraFlags", {"--hedge_after": 3}), "invalid propertyName '--hedge_after'"),
    (*_at("coordinator.extraFlags", ["--max_waiting_requests=1"]), "got array, want object"),
    (*_at("coordinator.podLabels", {"app.kubernetes.io/component": "api"}),
     "invalid propertyName 'app.kubernetes.io/component'"),
    (*_at("commonLabels", {"tramontane/shard": "a"}), "invalid propertyName 'tramontane/shard'"),
    (*_at("coordinator.antiAffinity", "always"), "value must be one of"),
    (*_at("coordinator.spread.zones", "Always"), "value must be one of"),
    (*_at("coordinator.resources", {"limit": {"cpu": 1}}),
     "additional properties 'limit' not allowed"),
    (*_at("coordinator.gpus", "1"), "got string, want integer"),
    (*_at("coordinator.device", "gpu"), "does not match pattern"),
    (*_at("expertWorkers.device", "cuda"), "does not match pattern"),
    (*_at("image.cudaTag", ":1"), "does not match pattern"),
    (*_at("attention.allowMixedBackends", "yes"), "got string, want boolean"),
    ("a shard's device that is none", shards({**LOW, "device": "cuda:x"}, HIGH),
     "/expertWorkers/shards/0/device", "does not match pattern"),
    (*_at("coordinator.podDisruptionBudget.maxUnavailable", "half"), "does not match pattern"),
    (*_at("model.compute", "fp8"), "value must be one of 'bf16', 'f32'"),
    (*_at("model.numExperts", 0), "minimum: got 0, want 1"),
    (*_at("model.path", "../other"), "does not match pattern"),
    (*_at("model.hostPath.path", "models"), "does not match pattern"),
    (*_at("model.init.containers", [{"name": "get"}]), "missing property 'image'"),
    (*_at("attention.kvBlockSize", 24), "multipleOf: got 24, want 16"),
    (*_at("cpuIsa", "avx1024"), "value must be one of"),
    (*_at("listenHost", "127.0.0.1"), "value must be one of"),
    (*_at("fullnameOverride", "My_Release"), "does not match pattern"),
    (*_at("api.tls.secretName", "Not A Name"), "does not match pattern"),
    (*_at("tls.certManager.duration", "90 days"), "does not match pattern"),
    (*_at("networkPolicy.clients", [{}]), "minProperties: got 0, want 1"),
    (*_at("networkPolicy.clients", [{"pods": {}}]), "additional properties 'pods' not allowed"),
    (*_at("networkPolicy.dns.peers", []), "minItems: got 0, want 1"),
    (*_at("monitoring.podMonitor.interval", "15"), "does not match pattern"),
    (*_at("monitoring.prometheusRule.runbookUrl", "docs/alerts.md"), "does not match pattern"),
    (*_at("expertWorkers.shards", []), "minItems: got 0, want 1"),
    (*_at("expertWorkers.autoscaling.kind", "vpa"), "value must be one of 'hpa', 'keda'"),
    (*_at("expertWorkers.autoscaling.minReplicas", 0), "minimum: got 0, want 1"),
    (*_at("expertWorkers.autoscaling.target", 0), "exclusiveMinimum"),
    ("a shard without a name", shards({"experts": "all"}), "/expertWorkers/shards/0",
     "missing property 'name'"),
    ("a shard without experts", shards({"name": "a"}), "/expertWorkers/shards/0",
     "missing property 'experts'"),
    ("a shard with an unknown key", shards({**LOW, "gpu": 1}, HIGH), "/expertWorkers/shards/0",
     "additional properties 'gpu' not allowed"),
    ("experts that are no range", shards({"name": "a", "experts": "0..3"}),
     "/expertWorkers/shards/0/experts", "does not match pattern"),
    ("a shard's name that is no label", shards({"name": "Low_Half", "experts": "all"}),
     "/expertWorkers/shards/0/name", "does not match pattern"),
    ("a shard's replicas below 0", shards({**LOW, "replicas": -1}, HIGH),
     "/expertWorkers/shards/0/replicas", "minimum: got -1, want 0"),
]

_TLS = chart.at("tls.enabled", True)
_SECRETS = chart.at("tls.secrets", {"coordinator": "c-tls", "expertWorkers": "e-tls"})
_KEDA = {"enabled": True, "kind": "keda", "prometheusAddress": "http://prometheus:9090"}


def _scaled(**settings):
    return chart.at("expertWorkers.autoscaling", {"enabled": True, **settings})


CHECKS = [
    ("no model", chart.at("model.pvc.claimName", ""),
     "model: expected where the checkpoint is, found nothing; set one of model.pvc.claimName"),
    ("two models", chart.at("model.hostPath.path", "/models"),
     "model: expected one source, found pvc and hostPath; keep one of them"),
    ("a mount that the chart makes",
     both(chart.at("model.pvc.claimName", ""), chart.at("model.init.containers", [
         {"name": "get", "image": "get:1",
          "volumeMounts": [{"name": "model", "mountPath": "/model"}]}])),
     "model.init.containers: expected no mount at /model, found one"),
    ("experts covered by no shard", shards(LOW),
     "expected every expert of every layer (8 of 32 layers) in a shard with replicas, found 128 in "
     "none: expert 4 of layer 0, expert 5 of layer 0, expert 6 of layer 0, …"),
    ("one (layer, expert) covered by no shard",
     shards({**LOW, "layers": "0-30"}, {"name": "rest", "experts": "0-2", "layers": 31}, HIGH),
     "found 1 in none: expert 3 of layer 31; add them to a shard"),
    ("experts whose only shard has no replicas", shards(LOW, {**HIGH, "replicas": 0}),
     "found 128 in none: expert 4 of layer 0"),
    ("experts out of range", shards(LOW, {"name": "high", "experts": "4-8"}),
     "expertWorkers.shards[high].experts: expected experts 0 to 7, found \"4-8\""),
    ("layers out of range", shards({"name": "a", "experts": "all", "layers": "0-32"}),
     "expertWorkers.shards[a].layers: expected layers 0 to 31, found \"0-32\""),
    ("a range that ends before it begins", shards({"name": "a", "experts": "3-0"}, HIGH),
     "expected ranges like 0-3, found \"3-0\", which ends before it begins"),
    ("an expert named twice in a shard", shards({"name": "a", "experts": "0-7,3"}),
     "expertWorkers.shards[a].experts: expected each expert once, found 3 twice in \"0-7,3\""),
    ("the same shard name twice", shards(LOW, HIGH, LOW),
     "expertWorkers.shards: expected each name once, found \"low\" twice"),
    ("a shard's name that is too long",
     shards({"name": "a" * 40, "experts": "all"}),
     "of at most 52 characters, which is what a StatefulSet leaves for its pods; found"),
    ("a name that is too long", chart.at("fullnameOverride", "a" * 48),
     "fullnameOverride: expected at most 47 characters"),
    ("a drain longer than grace",
     chart.at("coordinator.drain", {"timeoutSeconds": 300, "gracePeriodSeconds": 300}),
     "coordinator.drain.gracePeriodSeconds: expected at least 325 (preStopSeconds 10 + "
     "timeoutSeconds 300 + 15 to exit), found 300"),
    ("a shard's drain longer than grace",
     shards({**LOW, "drain": {"gracePeriodSeconds": 44}}, HIGH),
     "expertWorkers.shards[low].drain.gracePeriodSeconds: expected at least 45"),
    ("attention workers' drain longer than grace",
     chart.at("attentionWorkers", {"replicas": 1, "drain": {"gracePeriodSeconds": 74}}),
     "attentionWorkers.drain.gracePeriodSeconds: expected at least 75"),
    ("two coordinators beside attention workers",
     both(chart.at("coordinator.replicas", 2), chart.at("attentionWorkers.replicas", 2)),
     "coordinator.replicas: expected 1 beside attention workers, which work for one coordinator "
     "at a time; found 2 with attentionWorkers.replicas 2"),
    ("coordinators of any number beside attention workers",
     both(chart.at("coordinator.replicas", None), chart.at("attentionWorkers.replicas", None)),
     "coordinator.replicas: expected 1 beside attention workers, which work for one coordinator "
     "at a time; found null with attentionWorkers.replicas null"),
    ("a second coordinator beside the first, which has the attention workers",
     both(chart.at("coordinator.updateStrategy.type", "RollingUpdate"),
          chart.at("attentionWorkers.replicas", 2)),
     "coordinator.updateStrategy.type: expected Recreate beside attention workers, which work for "
     "one coordinator at a time; found RollingUpdate with attentionWorkers.replicas 2"),
    ("an update that may neither add nor take away",
     chart.at("coordinator.updateStrategy.rollingUpdate", {"maxUnavailable": 0, "maxSurge": "0%"}),
     "coordinator.updateStrategy.rollingUpdate: expected maxUnavailable or maxSurge above 0, found 0 "
     "and 0%"),
    ("a volume that is the chart's",
     shards({**LOW, "extraVolumes": [{"name": "model", "emptyDir": {}}]}, HIGH),
     "expertWorkers.shards[low].extraVolumes: expected names that neither the chart nor "
     "model.init.volumes use, found model"),
    ("a volume twice",
     both(chart.at("model.init.volumes", [{"name": "ca", "emptyDir": {}}]),
          chart.at("coordinator.extraVolumes", [{"name": "ca", "emptyDir": {}}])),
     "coordinator.extraVolumes: expected names that neither the chart nor model.init.volumes use, "
     "found ca"),
    ("a mount where the chart has its own",
     chart.at("coordinator.extraVolumeMounts", [{"name": "ca", "mountPath": "/etc/tramontane/tls"}]),
     "coordinator.extraVolumeMounts: expected paths outside /model and /etc/tramontane, where the "
     "chart's volumes are, found /etc/tramontane/tls"),
    ("a port of machines for a Service without any", chart.at("coordinator.service.nodePort", 30470),
     "coordinator.service.nodePort: expected the type NodePort or LoadBalancer beside it, found "
     "ClusterIP"),
    ("a load balancer's class without one",
     chart.at("coordinator.service", {"type": "NodePort", "loadBalancerClass": "internal"}),
     "coordinator.service.loadBalancerClass: expected the type LoadBalancer beside it, found "
     "NodePort"),
    ("GPUs in two places",
     chart.at("expertWorkers", {"gpus": 1, "resources": {"limits": {"nvidia.com/gpu": 1}}}),
     "expected GPUs in one place, found 1 there and nvidia.com/gpu in resources.limits"),
    ("a device without a GPU", chart.at("coordinator.device", "cuda:0"),
     "coordinator.device: expected a GPU for cuda:0, found gpus 0 and nothing else that gives one; "
     "set gpus, or runtimeClassName"),
    ("a shard's device without a GPU", shards({**LOW, "device": "cuda:0"}, HIGH),
     "expertWorkers.shards[low].device: expected a GPU for cuda:0"),
    ("a device that the container has not",
     chart.at("expertWorkers", {"gpus": 2, "device": "cuda:2"}),
     "expertWorkers.shards[all].device: expected cuda:0 to cuda:1, since a container counts its own "
     "GPUs, found cuda:2 with gpus 2"),
    ("GPUs for a coordinator that computes nothing",
     both(chart.at("coordinator.gpus", 1), chart.at("attentionWorkers.replicas", 1)),
     "coordinator.gpus: expected no GPU beside attention workers, which compute in the "
     "coordinator's place; found cuda:0 with attentionWorkers.replicas 1"),
    ("a flag that has a value of its own",
     chart.at("expertWorkers.extraFlags", {"device": "cuda:0"}),
     "expertWorkers.extraFlags: expected flags that the chart does not set, found device; use the "
     "value `device`"),
    ("a flag that the chart sets", chart.at("expertWorkers.extraFlags", {"experts": "0-3"}),
     "expertWorkers.extraFlags: expected flags that the chart does not set, found experts; use the "
     "value `experts`"),
    ("a shard's flag that the chart sets", shards({**LOW, "extraFlags": {"threads": 3}}, HIGH),
     "expertWorkers.shards[low].extraFlags: expected flags that the chart does not set, found "
     "threads"),
    ("TLS without certificates", _TLS,
     "tls: expected a Secret for every role, found none for tls.secrets.coordinator, "
     "tls.secrets.expertWorkers; set them, or tls.certManager.enabled"),
    ("TLS without the attention workers' certificate",
     both(_TLS, _SECRETS, chart.at("attentionWorkers.replicas", 1)),
     "found none for tls.secrets.attentionWorkers"),
    ("certificates without TLS", _SECRETS,
     "tls.enabled: expected true where certificates are given, found false with "
     "tls.secrets.coordinator, tls.secrets.expertWorkers"),
    ("cert-manager without TLS", chart.at("tls.certManager.enabled", True),
     "tls.enabled: expected true where certificates are given, found false with "
     "tls.certManager.enabled"),
    ("two kinds of certificates", both(_TLS, _SECRETS, chart.at("tls.certManager.enabled", True)),
     "tls: expected Secrets or cert-manager, found tls.secrets.coordinator, "
     "tls.secrets.expertWorkers and tls.certManager.enabled"),
    ("peers without TLS", chart.at("tls.extraAllowedPeers", ["operator.example.com"]),
     "tls.extraAllowedPeers: expected tls.enabled beside it, found false"),
    ("a certificate for a plaintext API",
     both(_TLS, _SECRETS, chart.at("api.tls", {"plaintext": True, "secretName": "api-tls"})),
     "api.tls: expected neither secretName nor clientCaSecret beside plaintext, found api-tls"),
    ("a plaintext API without TLS", chart.at("api.tls.plaintext", True),
     "api.tls.plaintext: expected tls.enabled beside it, found false"),
    ("clients' certificates without the API's", chart.at("api.tls.clientCaSecret", "clients-ca"),
     "api.tls.clientCaSecret: expected a certificate for the API, found none"),
    ("most replicas below fewest", _scaled(minReplicas=3, maxReplicas=2),
     "autoscaling.maxReplicas: expected at least minReplicas 3, found 2"),
    ("KEDA without Prometheus", _scaled(kind="keda"),
     "autoscaling.prometheusAddress: expected the URL of Prometheus for keda, found none"),
    ("KEDA by CPU", _scaled(**{**_KEDA, "metric": "cpu", "target": 70}),
     "autoscaling.metric: expected busy or rows for keda, found cpu"),
    ("a share above 1", _scaled(target=70),
     "autoscaling.target: expected a share of at most 1 for the metric busy, found 70"),
    ("rows by the metric of a share", _scaled(metric="rows", target=250000),
     "expertWorkers.shards[all].autoscaling.podsMetric: expected a metric of rows in a second for the "
     "metric rows, found tramontane_expert_worker_busy, which is a share of time; name the one"),
    ("per cent below 1", _scaled(metric="cpu"),
     "autoscaling.target: expected per cent for the metric cpu, found 0.7"),
    ("a share of no CPU request", _scaled(metric="cpu", target=70),
     "autoscaling.metric: expected resources.requests.cpu beside cpu, found none"),
    ("both monitors",
     chart.at("monitoring", {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}),
     "monitoring: expected podMonitor or serviceMonitor, found both"),
    ("an Ingress for nobody", chart.at("ingress.enabled", True),
     "ingress.hosts: expected a host or more with ingress.enabled, found none"),
    ("a route of no Gateway", chart.at("grpcRoute.enabled", True),
     "grpcRoute.parentRefs: expected a Gateway or more with grpcRoute.enabled, found none"),
]
