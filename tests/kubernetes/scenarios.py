"""What a platform team does with the chart, under load: each function is one row of the table.

A scenario returns what was seen, and raises a Failure for anything that was not as promised."""

import base64
import hashlib
import json
import secrets
import time

from certificates import make_certificates
from cluster import Cluster, Failure, is_ready, restarts, run, wait_for
from load import Load, client_pod

_ROWS = "tramontane_expert_worker_rows_total"


def install(cluster, settings, golden):
    """helm install --wait"""
    started = time.monotonic()
    cluster.install(settings.values)
    pods = cluster.pods()
    if not all(is_ready(pod) for pod in pods):
        raise Failure("helm install --wait came back before all pods were ready")
    return f"{len(pods)} pods ready after {time.monotonic() - started:.0f} s"


def helm_test(cluster, settings, golden):
    """helm test"""
    cluster.helm("test", cluster.release, "--timeout", "120s")
    return "a Generate from a pod of its own succeeded"


def golden_tokens(cluster, settings, golden):
    """golden tokens from a client pod"""
    with Load(cluster, settings, golden, concurrency=1) as load:
        wait_for("every golden prompt",
                 lambda: load.checked >= len(golden.cases) or load.problems, 120)
    load.result()
    return (f"{len(golden.cases)} prompts, {golden.num_tokens} tokens each, "
            "equal to Hugging Face Transformers'")


def scale_shard(cluster, settings, golden):
    """kubectl scale of one shard 1→4→1 under load"""
    shard, stateful_set = settings.shard, settings.stateful_set
    with Load(cluster, settings, golden) as load:
        cluster.kubectl("scale", "statefulset", stateful_set, "--replicas=4")
        pods = cluster.await_ready("expert-worker", 4, shard)
        names = [pod["metadata"]["name"] for pod in pods]
        before = {name: cluster.metric_sum(name, _ROWS) for name in names}
        wait_for("every replica computes", lambda: all(
            cluster.metric_sum(name, _ROWS) > before[name] + 100 for name in names), 60)
        load.settle(5)
        rows = [cluster.metric_sum(name, _ROWS) - before[name] for name in names]
        cluster.kubectl("scale", "statefulset", stateful_set, "--replicas=1")
        cluster.await_ready("expert-worker", 1, shard)
        load.settle(5)
    shares = " ".join(f"{row / sum(rows):.2f}" for row in rows)
    return f"{load.result()}; shares of the rows with 4 replicas: {shares}"


def rollout_restart(cluster, settings, golden):
    """kubectl rollout restart of every workload under load"""
    _two_replicas(cluster, settings)
    # An only coordinator, beside attention workers, is away while it is replaced.
    kinds = ["statefulset"] if settings.has_attention_workers else ["statefulset", "deployment"]
    workloads = [f"{kind}/{item['metadata']['name']}" for kind in kinds
                 for item in cluster.get(kind, f"app.kubernetes.io/instance={cluster.release}")]
    with Load(cluster, settings, golden) as load:
        for workload in workloads:
            cluster.kubectl("rollout", "restart", workload)
            cluster.kubectl("rollout", "status", workload, "--timeout=240s", timeout_s=250)
        load.settle(5)
    names = ", ".join(workload.removeprefix("statefulset/").removeprefix("deployment/")
                      for workload in workloads)
    return f"{names}; {load.result()}"


def drain_of_a_machine(cluster, settings, golden):
    """kubectl drain of a machine under load"""
    _two_replicas(cluster, settings)
    with Load(cluster, settings, golden) as load:
        keep = cluster.get("pod", name=load.pod_name)["spec"]["nodeName"]
        by_machine = {}
        for pod in cluster.pods():
            by_machine.setdefault(pod["spec"]["nodeName"], []).append(pod)
        machine = next((name for name in by_machine if name != keep), None)
        if machine is None:
            raise Failure("all pods are on one machine; expected them spread")
        try:
            cluster.kubectl("drain", machine, "--ignore-daemonsets", "--delete-emptydir-data",
                            f"--pod-selector=app.kubernetes.io/instance={cluster.release}",
                            "--timeout=240s", timeout_s=250)
            load.settle(5)
        finally:
            cluster.kubectl("uncordon", machine)
        load.settle(3)
    return f"{len(by_machine[machine])} pods evicted; {load.result()}"


def forced_deletion(cluster, settings, golden):
    """kubectl delete pod --force of an expert worker under load"""
    _two_replicas(cluster, settings)
    with Load(cluster, settings, golden) as load:
        victim = cluster.pods("expert-worker", settings.shard)[0]["metadata"]["name"]
        cluster.kubectl("delete", "pod", victim, "--force", "--grace-period=0")
        wait_for("the replica is back", lambda: victim in [
            pod["metadata"]["name"] for pod in cluster.pods("expert-worker", settings.shard)
            if is_ready(pod)], 120)
        load.settle(5)
    return load.result()


def disruption_budget(cluster, settings, golden):
    """a PodDisruptionBudget holds back an eviction"""
    _two_replicas(cluster, settings)
    pods = cluster.pods("expert-worker", settings.shard)
    names = [pod["metadata"]["name"] for pod in pods]
    _evict(cluster, names[0])
    try:
        _evict(cluster, names[1])
    except Failure as failure:
        if "disruption budget" not in str(failure):
            raise
        cluster.await_ready("expert-worker", len(names), settings.shard)
        return "the second of two replicas stayed: \"would violate the pod's disruption budget\""
    raise Failure("both replicas were evicted at once")


def slow_start(cluster, settings, golden):
    """a pod that is still loading is neither restarted nor sent traffic"""
    with Load(cluster, settings, golden) as load:
        # A hundredth of a processor, so that loading takes a while.
        cluster.upgrade(settings.with_slow_shard(), wait=False)
        seen = {"loading": 0, "addresses": 0}
        started = time.monotonic()

        def loaded():
            pods = cluster.pods("expert-worker", "slow")
            if not pods or pods[0]["status"].get("phase") != "Running":
                return False
            pod = pods[0]
            if restarts(pod):
                raise Failure(f"restarted {restarts(pod)} times while it was loading")
            if is_ready(pod):
                return pod
            seen["loading"] += 1
            placement = json.loads(run(
                ["kubectl", "-n", cluster.namespace, "exec", load.pod_name, "--", "tramontanectl",
                 "placement", f"--target={settings.api_service}:8470", "--json"]))
            if any(worker.get("state") == "serving" and pod["status"].get("podIP", "-")
                   in worker.get("address", "")
                   for process in placement["processes"]
                   for worker in process.get("expert_workers", [])):
                raise Failure("it was used before it was ready")
            return False
        pod = wait_for("the slow replica has loaded", loaded, 300)
        loading_s = time.monotonic() - started
        if not seen["loading"]:
            raise Failure("it was ready at once; nothing was shown")
        load.settle(3)
        if restarts(cluster.get("pod", name=pod["metadata"]["name"])):
            raise Failure("it was restarted")
    cluster.upgrade(settings.values)
    return f"not ready for {loading_s:.0f} s, 0 restarts, not used meanwhile; {load.result()}"


def upgrade_and_rollback(cluster, settings, golden):
    """helm upgrade with changed values, then rollback, under load"""
    _two_replicas(cluster, settings)
    with Load(cluster, settings, golden) as load:
        cluster.upgrade(settings.with_replicas(2, max_merged_rows=256))
        cluster.helm("rollback", cluster.release, "--wait", "--timeout", "240s")
        load.settle(3)
    return load.result()


def secured(cluster, settings, golden):
    """a second release with mutual TLS on all hops, API tokens and attention workers"""
    release = "secure"
    full_name = f"{release}-tramontane"
    role_names = {
        role: [f"{full_name}-{component}.{cluster.namespace}.svc", *services]
        for role, component, services in [
            ("coordinator", "coordinator", [full_name, f"{full_name}.{cluster.namespace}.svc"]),
            ("attentionWorkers", "attention-worker", []),
            ("expertWorkers", "expert-worker", [])]}
    values = settings.with_attention_workers(1)
    values["tls"] = {"enabled": True, "secrets": {}}
    for role, files in make_certificates(role_names).items():
        name = f"secure-{role.lower()}"
        _create_secret(cluster, name, files)
        values["tls"]["secrets"][role] = name
    token = secrets.token_hex(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    for name, key, text in [("secure-tokens", "tokens", f"test sha256:{digest}\n"),
                            ("secure-token", "token", f"{token}\n")]:
        _create_secret(cluster, name, {key: base64.b64encode(text.encode()).decode()})
    values["api"] = {"tokensSecret": {"name": "secure-tokens"}}
    values["helmTest"] = {"tokenSecret": {"name": "secure-token"}}
    guarded = Cluster(cluster.namespace, release, cluster.chart)
    try:
        guarded.install(values)
        pods = guarded.pods()
        guarded.helm("test", release, "--timeout", "120s")
        if any(restarts(pod) for pod in guarded.pods()):
            raise Failure("a pod was restarted: do the probes work beside TLS?")
        refused = client_pod("without-token", settings.client_image, settings.pull_policy,
                             ["generate", f"--target={full_name}:8470", "--timeout_s=20",
                              "--max_attempts=1", "Once"], settings.client_labels)
        guarded.kubectl("create", "-f", "-", stdin=json.dumps(refused))
        wait_for("the plaintext client is refused", lambda: guarded.get(
            "pod", name="without-token")["status"].get("phase") == "Failed", 60)
    finally:
        guarded.helm("uninstall", release, "--wait", "--timeout", "240s", check=False)
        guarded.kubectl("delete", "pod", "without-token", "--ignore-not-found", check=False)
        guarded.kubectl("delete", "secret", "--all", "--field-selector=type=Opaque", check=False)
    return (f"{len(pods)} pods ready with gRPC probes, helm test with a token succeeded, a client "
            "without TLS was refused, 0 restarts")


def _create_secret(cluster, name, files):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
              "data": files}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(secret))


def uninstall(cluster, settings, golden):
    """helm uninstall leaves nothing behind"""
    cluster.helm("uninstall", cluster.release, "--wait", "--timeout", "240s")
    kinds = cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    skipped = {"events", "events.events.k8s.io"}
    everything = ",".join(kind for kind in kinds if kind not in skipped)

    def gone():
        left = cluster.kubectl("get", everything, "-l",
                               f"app.kubernetes.io/instance={cluster.release}", "-o", "name",
                               "--ignore-not-found").split()
        if left:
            raise Failure(f"left behind: {left}")
        return True
    # Pods that drain outlast their workload.
    wait_for("nothing of the release is left", gone, 90)
    claims = cluster.get("persistentvolumeclaims")
    if claims:
        raise Failure(f"claims left behind: {[claim['metadata']['name'] for claim in claims]}")
    return f"no object of the release in any of {len(kinds)} kinds"


def _two_replicas(cluster, settings):
    """Two of every workload, as redundancy wants it."""
    cluster.upgrade(settings.with_replicas(2))


def _evict(cluster, pod_name):
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod_name, "namespace": cluster.namespace}}
    run(["kubectl", "create", "--raw",
         f"/api/v1/namespaces/{cluster.namespace}/pods/{pod_name}/eviction", "-f", "-"],
        stdin=json.dumps(eviction))


ALL = [install, helm_test, golden_tokens, scale_shard, rollout_restart, drain_of_a_machine,
       forced_deletion, disruption_budget, slow_start, upgrade_and_rollback,
       secured, uninstall]
