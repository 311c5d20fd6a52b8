"""Valid values at random: the same seed, the same values."""

import random

CLAIM = {"pvc": {"claimName": "models"}}


def _model(rng):
    model = {"numLayers": rng.choice([1, 4, 32, 56]), "numExperts": rng.choice([1, 2, 8, 16])}
    model.update(rng.choice([
        CLAIM, CLAIM, {"pvc": {"claimName": "models", "readOnly": False}},
        {"hostPath": {"path": "/srv/models"}},
        {"image": {"reference": "registry.example.com/models/mixtral:1"}},
        {"init": {"sizeLimit": "120Gi", "containers": [
            {"name": "download", "image": "registry.example.com/download:1",
             "args": ["--to=/model"], "volumeMounts": [{"name": "key", "mountPath": "/key"}]}],
            "volumes": [{"name": "key", "secret": {"secretName": "hub"}}]}}]))
    if rng.random() < 0.5:
        model["path"] = rng.choice(["Mixtral-8x7B-Instruct-v0.1", "a/b.c/"])
    if rng.random() < 0.5:
        model["name"] = "mixtral-8x7b"
    if rng.random() < 0.3:
        model["compute"] = "f32"
    return model


def _parts(ids):
    """Sorted numbers as text with ranges."""
    parts, start = [], 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or ids[end] != ids[end - 1] + 1:
            first, last = ids[start], ids[end - 1]
            parts.append(str(first) if first == last else f"{first}-{last}")
            start = end
    return ",".join(parts)


def _split(rng, count):
    """Numbers below `count` in one to three sets that cover them all, which may overlap."""
    sets = [[] for _ in range(rng.randint(1, min(3, count)))]
    for number in range(count):
        sets[rng.randrange(len(sets))].append(number)
    sets = [ids for ids in sets if ids]
    if rng.random() < 0.3:
        sets.append(sorted(rng.sample(range(count), rng.randint(1, count))))
    return sets


def _placement(rng, settings):
    if rng.random() < 0.3:
        settings["antiAffinity"] = rng.choice(["preferred", "required", "none"])
    if rng.random() < 0.3:
        settings["spread"] = {"zones": rng.choice(["none", "DoNotSchedule"])}
    if rng.random() < 0.2:
        settings["nodeSelector"] = {"example.com/pool": "experts"}
        settings["tolerations"] = [{"key": "experts", "operator": "Exists"}]
    if rng.random() < 0.2:
        term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
        settings["affinity"] = {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _settings(rng):
    """What every role and every shard may have."""
    settings = {}
    if rng.random() < 0.5:
        settings["resources"] = {"requests": {"cpu": rng.choice([2, "500m"]), "memory": "2Gi"},
                                 "limits": {"cpu": 4, "memory": "4Gi"}}
    if rng.random() < 0.2:
        settings.update(rng.choice([
            {"gpus": 1}, {"gpus": 2}, {"gpus": 2, "device": "cuda:1"}, {"gpus": 1, "device": "cpu"},
            {"device": "cuda:0", "runtimeClassName": "nvidia"}]))
    if rng.random() < 0.3:
        settings["threads"] = rng.choice([0, 3])
    if rng.random() < 0.4:
        drain = {"preStopSeconds": rng.choice([0, 5, 20]), "timeoutSeconds": rng.choice([0, 7.5, 600])}
        if rng.random() < 0.5:
            drain["gracePeriodSeconds"] = 20 + 600 + 15 + rng.randint(0, 10)
        settings["drain"] = drain
    if rng.random() < 0.3:
        settings["podLabels"] = {"team": "serving"}
        settings["podAnnotations"] = {"example.com/note": "a: b"}
    if rng.random() < 0.2:
        settings["env"] = [{"name": "TZ", "value": "UTC"}]
        settings["envFrom"] = [{"secretRef": {"name": "proxy", "optional": True}}]
        settings["dnsConfig"] = {"options": [{"name": "ndots", "value": "2"}]}
    if rng.random() < 0.2:
        settings["extraVolumes"] = [{"name": "ca", "configMap": {"name": "company-ca"}}]
        settings["extraVolumeMounts"] = [{"name": "ca", "mountPath": "/etc/ssl/company",
                                          "readOnly": True}]
    if rng.random() < 0.3:
        settings["podDisruptionBudget"] = rng.choice(
            [{"enabled": False}, {"maxUnavailable": 0}, {"maxUnavailable": "50%"}])
    _placement(rng, settings)
    return settings


def _autoscaling(rng):
    settings = {"enabled": True, "minReplicas": rng.randint(1, 3), "maxReplicas": rng.randint(3, 9)}
    settings.update(rng.choice([
        {}, {"metric": "rows", "target": 250000, "podsMetric": "tramontane_expert_worker_rows_per_second"},
        {"kind": "keda", "prometheusAddress": "http://prometheus.monitoring:9090"},
        {"kind": "keda", "prometheusAddress": "https://prometheus.monitoring", "metric": "rows",
         "target": 1500.5, "authenticationRef": "prometheus"}]))
    return settings


def _shards(rng, model):
    shards = []
    for layers in _split(rng, model["numLayers"]):
        for experts in _split(rng, model["numExperts"]):
            shard = {"name": f"s{len(shards)}", "experts": _parts(experts)}
            if shard["experts"].isdigit() and rng.random() < 0.5:
                shard["experts"] = int(shard["experts"])
            if len(experts) == model["numExperts"] and rng.random() < 0.5:
                shard["experts"] = "all"
            if len(layers) < model["numLayers"]:
                shard["layers"] = _parts(layers)
            if rng.random() < 0.5:
                shard["replicas"] = rng.randint(1, 4)
            if rng.random() < 0.3:
                shard.update(_settings(rng))
            if rng.random() < 0.2:
                shard["autoscaling"] = _autoscaling(rng)
            if rng.random() < 0.3:
                shard["extraFlags"] = {"max_queued_batches": 1000000}
            shards.append(shard)
    return shards


def _security(rng, values):
    roles = {"coordinator": "c-tls", "expertWorkers": "e-tls", "attentionWorkers": "a-tls"}
    kind = rng.choice(["none", "secrets", "cert-manager", "issuer"])
    if kind == "secrets":
        values["tls"] = {"enabled": True, "secrets": roles,
                         "names": {"expertWorkers": "experts.example.com"},
                         "extraAllowedPeers": ["operator.example.com"]}
    elif kind != "none":
        maker = {"enabled": True, "extraApiNames": ["mixtral.example.com"]}
        if kind == "issuer":
            maker["issuerRef"] = {"name": "company", "kind": "ClusterIssuer"}
        values["tls"] = {"enabled": True, "certManager": maker}
    api = {}
    if rng.random() < 0.4:
        api["tokensSecret"] = {"name": "api-tokens"}
    if rng.random() < 0.3:
        api["tls"] = {"secretName": "api-tls", "clientCaSecret": rng.choice(["", "clients-ca"])}
    elif kind != "none" and rng.random() < 0.3:
        api["tls"] = {"plaintext": True}
    values["api"] = api
    if rng.random() < 0.5:
        values["helmTest"] = {"tokenSecret": {"name": "test-token"}, "clientCertSecret": "test-tls",
                              "caSecret": {"name": rng.choice(["", "api-ca"])}}


def _around(rng, values):
    """Callers and observers."""
    if rng.random() < 0.3:
        values["networkPolicy"] = {"enabled": False}
    elif rng.random() < 0.5:
        values["networkPolicy"] = {
            "clients": rng.choice([[], [{"namespaceSelector": {}}]]),
            "kubelets": [{"ipBlock": {"cidr": "10.0.0.0/24"}}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
            "extraIngress": {"expertWorkers": [{"from": [{"podSelector": {}}]}]}}
    monitor = rng.choice(["podMonitor", "serviceMonitor", None])
    monitoring = {"prometheusRule": {"enabled": rng.random() < 0.5,
                                     "runbookUrl": "https://git.example.com/alerts.md"},
                  "dashboards": {"enabled": rng.random() < 0.5, "namespace": ""},
                  "labels": {"release": "prometheus"}}
    if monitor:
        monitoring[monitor] = {"enabled": True}
    values["monitoring"] = monitoring
    if rng.random() < 0.3:
        values["ingress"] = {"enabled": True, "className": "nginx", "hosts": ["mixtral.example.com"],
                             "tlsSecret": rng.choice(["", "web-tls"]),
                             "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}}
    if rng.random() < 0.3:
        values["grpcRoute"] = {"enabled": True, "parentRefs": [{"name": "gateway"}],
                               "hostnames": ["mixtral.example.com"]}


def values(seed):
    rng = random.Random(seed)
    model = _model(rng)
    result = {"model": model, "coordinator": _settings(rng), "expertWorkers": _settings(rng)}
    result["expertWorkers"]["shards"] = _shards(rng, model)
    attention = rng.choice([0, 0, 1, 3])
    result["attentionWorkers"] = {**_settings(rng), "replicas": attention}
    result["coordinator"]["replicas"] = 1 if attention else rng.randint(1, 3)
    if attention:
        for key in ("gpus", "device"):
            result["coordinator"].pop(key, None)
    result["coordinator"]["updateStrategy"] = rng.choice([
        {}, {"type": "Recreate"}, *([] if attention else [
            {"type": "RollingUpdate"}, {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            {"rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "50%"}}])])
    result["coordinator"]["service"] = {"port": rng.choice([8470, 443]), **rng.choice([
        {"type": "ClusterIP"}, {"type": "NodePort", "nodePort": 30470},
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
         "loadBalancerClass": "example.com/internal",
         "loadBalancerSourceRanges": ["192.0.2.0/24"]}])}
    for role in ("expertWorkers", "attentionWorkers"):
        result[role]["updateStrategy"] = rng.choice([{}, {"type": "OnDelete"},
                                                      {"rollingUpdate": {"partition": 1}}])
    if rng.random() < 0.5:
        result["attention"] = {"kvCacheTokens": rng.choice([0, 1048576]), "kvBlockSize": 32,
                               "maxStepTokens": 1024, "hedgeAfter": 2.5,
                               "allowMixedBackends": rng.random() < 0.5,
                               "expertWaitTimeoutMs": 60000}
    if rng.random() < 0.3:
        result["image"] = {"registry": "registry.example.com/ml/", "tag": "1.2.3",
                           "cudaTag": rng.choice(["", "4.5.6-cuda"]), "pullSecrets": ["pull"]}
    if rng.random() < 0.2:
        result["coordinator"]["image"] = {"digest": "sha256:" + "0f" * 32}
    if rng.random() < 0.2:
        result["podSecurity"] = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    if rng.random() < 0.2:
        result["serviceAccounts"] = {"create": False}
    if rng.random() < 0.2:
        result["commonLabels"] = {"team": "serving"}
    result["listenHost"] = rng.choice(["0.0.0.0", "[::]"])
    _security(rng, result)
    _around(rng, result)
    return result
