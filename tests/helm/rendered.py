"""What must hold for any values that render. Each check yields what is wrong with the manifests."""

import render

ROLES = {"coordinator": "coordinator", "attention-worker": "attentionWorkers",
         "expert-worker": "expertWorkers"}
EXIT_MARGIN_S = 15
_RIGHTS = ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


def _component(metadata):
    return metadata["labels"]["app.kubernetes.io/component"]


def _main(spec):
    return spec["containers"][0]


def one_namespace_and_unique_names(items):
    seen = set()
    for item in items:
        if item["metadata"].get("namespace") != render.NAMESPACE:
            yield f"{render.name_of(item)}: expected namespace {render.NAMESPACE}"
        if render.name_of(item) in seen:
            yield f"{render.name_of(item)} is there twice"
        seen.add(render.name_of(item))
        limit = {"StatefulSet": 52, "Service": 63}.get(item["kind"], 253)
        if len(item["metadata"]["name"]) > limit:
            yield f"{render.name_of(item)}: longer than {limit}"
        labels = item["metadata"]["labels"]
        for key in ("name", "instance", "version", "managed-by", "part-of"):
            if not labels.get(f"app.kubernetes.io/{key}"):
                yield f"{render.name_of(item)}: no label app.kubernetes.io/{key}"


def selectors_match_their_pods(items):
    templates = [(item, metadata["labels"]) for item, metadata, _ in render.pods(items)
                 if item["kind"] != "Pod"]
    tests = [metadata["labels"] for item, metadata, _ in render.pods(items) if item["kind"] == "Pod"]
    for item in items:
        kind, spec = item["kind"], item.get("spec", {})
        if kind in render.WORKLOADS:
            selector, wanted = spec["selector"], {render.name_of(item)}
        elif kind in ("Service", "PodDisruptionBudget"):
            selector, wanted = spec["selector"], None
        elif kind == "NetworkPolicy":
            selector, wanted = spec["podSelector"], None
        else:
            continue
        found = {render.name_of(owner) for owner, labels in templates
                 if render.selects(selector, labels)}
        if wanted is not None and found != wanted:
            yield f"{render.name_of(item)}: expected to select its own pods, found {sorted(found)}"
        elif kind == "Service" and item["metadata"]["name"].endswith("-experts"):
            continue  # of all shards: callers_name_services_that_exist
        elif kind in ("Service", "PodDisruptionBudget") and len(found) != 1:
            yield f"{render.name_of(item)}: expected one workload, found {sorted(found)}"
        elif kind == "NetworkPolicy" and not found and not any(
                render.selects(selector, labels) for labels in tests) and \
                _component(item["metadata"]) != "test":
            yield f"{render.name_of(item)}: selects no pod"
    services = {item["metadata"]["name"]: item for item in render.of_kind(items, "Service")}
    for item in render.of_kind(items, "StatefulSet"):
        service = services.get(item["spec"]["serviceName"])
        labels = render.pod_template(item)["metadata"]["labels"]
        if service is None or service["spec"].get("clusterIP") != "None":
            yield f"{render.name_of(item)}: no headless Service {item['spec']['serviceName']}"
        elif not render.selects(service["spec"]["selector"], labels):
            yield f"{render.name_of(item)}: its Service selects other pods"


def pods_are_restricted(items):
    for item, _, spec in render.pods(items):
        name = render.name_of(item)
        security = spec["securityContext"]
        if security.get("runAsNonRoot") is not True:
            yield f"{name}: expected runAsNonRoot"
        if security.get("runAsUser") == 0:
            yield f"{name}: runs as root"
        if security["seccompProfile"] != {"type": "RuntimeDefault"}:
            yield f"{name}: expected seccomp RuntimeDefault"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name}: mounts a token"
        if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: takes part in the host"
        for container in spec["containers"] + spec.get("initContainers", []):
            own = container["securityContext"]
            if own != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "capabilities": {"drop": ["ALL"]}}:
                yield f"{name}: container {container['name']}: expected to be restricted, found {own}"


def nobody_has_rights(items):
    accounts = {item["metadata"]["name"] for item in render.of_kind(items, "ServiceAccount")}
    for item in render.of_kind(items, *_RIGHTS):
        yield f"{render.name_of(item)}: gives rights"
    for item in render.of_kind(items, "ServiceAccount"):
        if item.get("automountServiceAccountToken") is not False:
            yield f"{render.name_of(item)}: its token is mounted"
    for item, _, spec in render.pods(items):
        account = spec.get("serviceAccountName", "default")
        if account != "default" and account not in accounts:
            yield f"{render.name_of(item)}: no ServiceAccount {account}"


def volumes_and_mounts_agree(items):
    for item, _, spec in render.pods(items):
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = set()
        for container in spec["containers"] + spec.get("initContainers", []):
            for mount in container.get("volumeMounts", []):
                mounted.add(mount["name"])
        if volumes != mounted:
            yield f"{render.name_of(item)}: volumes {sorted(volumes)}, mounts {sorted(mounted)}"
        for mount in _main(spec).get("volumeMounts", []):
            if mount.get("readOnly") is not True:
                yield f"{render.name_of(item)}: {mount['name']} can be written to"


def files_in_flags_are_mounted(items):
    for item, _, spec in render.pods(items):
        paths = [mount["mountPath"] for mount in _main(spec).get("volumeMounts", [])]
        for name, value in render.flags(_main(spec)).items():
            if value.startswith("/") and not any(
                    value == path or value.startswith(path + "/") for path in paths):
                yield f"{render.name_of(item)}: --{name}={value} is in none of {paths}"


def probes_ask_the_health_port(items):
    for item in render.of_kind(items, *render.WORKLOADS):
        container = _main(render.pod_template(item)["spec"])
        flags = render.flags(container)
        name = render.name_of(item)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port, flag in (("grpc", "listen"), ("health", "health_listen"),
                           ("metrics", "metrics_listen")):
            if int(flags[flag].rpartition(":")[2]) != ports[port]:
                yield f"{name}: --{flag}={flags[flag]}, port {port} {ports[port]}"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if container[probe]["grpc"]["port"] != ports["health"]:
                yield f"{name}: {probe}: expected port {ports['health']}"
        if container["livenessProbe"]["grpc"].get("service") != "live":
            yield f"{name}: expected the liveness probe to ask for \"live\""
        if "service" in container["readinessProbe"]["grpc"]:
            yield f"{name}: expected the readiness probe to ask for the whole process"
        alone = _component(item["metadata"]) == "expert-worker"
        if ("service" in container["startupProbe"]["grpc"]) == alone:
            yield f"{name}: the startup probe asks for the wrong service"
        liveness = container["livenessProbe"]
        if liveness["periodSeconds"] * liveness["failureThreshold"] < 60:
            yield f"{name}: a minute without an answer restarts it"


def drains_fit_in_the_grace_period(items):
    for item in render.of_kind(items, *render.WORKLOADS):
        spec = render.pod_template(item)["spec"]
        container = _main(spec)
        drain = float(render.flags(container)["drain_timeout_s"])
        sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if spec["terminationGracePeriodSeconds"] < sleep + drain + EXIT_MARGIN_S:
            yield (f"{render.name_of(item)}: preStop {sleep} + drain {drain} + {EXIT_MARGIN_S} > "
                   f"{spec['terminationGracePeriodSeconds']}")


def devices_are_of_the_image_s_variant(items):
    for item in render.of_kind(items, *render.WORKLOADS):
        container = _main(render.pod_template(item)["spec"])
        flags = render.flags(container)
        device = flags.get("device", "cpu")
        limits = container.get("resources", {}).get("limits", {})
        gpus = sum(count for name, count in limits.items() if name.endswith("/gpu"))
        if gpus and device.startswith("cuda") and int(device.partition(":")[2]) >= gpus:
            yield f"{render.name_of(item)}: --device={device} of {gpus} GPUs"
        if gpus and "device" not in flags:
            yield f"{render.name_of(item)}: {gpus} GPUs, and no --device"
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        if "@" not in container["image"] and device.startswith("cuda") != tag.endswith("-cuda"):
            yield f"{render.name_of(item)}: --device={device} in {container['image']}"


def callers_name_services_that_exist(items):
    services = {item["metadata"]["name"]: item for item in render.of_kind(items, "Service")}
    workers = {item["metadata"]["name"]: render.pod_template(item)["metadata"]
               for item in render.of_kind(items, "StatefulSet")}
    for item, _, spec in render.pods(items):
        flags = render.flags(_main(spec))
        for flag, component in (("expert_workers", "expert-worker"),
                                ("attention_workers", "attention-worker")):
            if flag not in flags:
                continue
            host, _, port = flags[flag].rpartition(":")
            service = services[host]["spec"]
            if {each["name"]: each["port"] for each in service["ports"]}["grpc"] != int(port):
                yield f"{render.name_of(item)}: {host} has no port {port}"
            if service.get("clusterIP") != "None":
                yield f"{render.name_of(item)}: {host} is not headless"
            for name, metadata in workers.items():
                if render.selects(service["selector"], metadata["labels"]) != (
                        _component(metadata) == component):
                    yield f"{render.name_of(item)}: {host} and {name} do not fit"
        if _component(item["metadata"]) == "coordinator":
            attention = any(_component(each) == "attention-worker" for each in workers.values())
            if ("attention_workers" in flags) != attention or (
                    "expert_workers" in flags) == attention:
                yield f"{render.name_of(item)}: expected either kind of workers"


def updates_can_end(items):
    attention = any(_component(item["metadata"]) == "attention-worker"
                    for item in render.of_kind(items, "StatefulSet"))
    for item in render.of_kind(items, "Deployment"):
        strategy = item["spec"]["strategy"]
        numbers = strategy.get("rollingUpdate")
        if attention and strategy["type"] != "Recreate":
            yield f"{render.name_of(item)}: a second one beside attention workers is never ready"
        if (strategy["type"] == "RollingUpdate") != (numbers is not None):
            yield f"{render.name_of(item)}: {strategy['type']} with rollingUpdate {numbers}"
        elif numbers and all(str(number).rstrip("%") == "0" for number in numbers.values()):
            yield f"{render.name_of(item)}: no update may begin: {numbers}"


def replicas_are_an_autoscaler_s_or_ours(items):
    scaled = {item["spec"]["scaleTargetRef"]["name"]
              for item in render.of_kind(items, "HorizontalPodAutoscaler", "ScaledObject")}
    for item in render.of_kind(items, *render.WORKLOADS):
        if ("replicas" in item["spec"]) == (item["metadata"]["name"] in scaled):
            yield f"{render.name_of(item)}: replicas, and an autoscaler or neither"


CHECKS = (one_namespace_and_unique_names, selectors_match_their_pods, pods_are_restricted,
          nobody_has_rights, volumes_and_mounts_agree, files_in_flags_are_mounted,
          probes_ask_the_health_port, drains_fit_in_the_grace_period,
          devices_are_of_the_image_s_variant, callers_name_services_that_exist,
          updates_can_end, replicas_are_an_autoscaler_s_or_ours)


def faults(items):
    for check in CHECKS:
        for fault in check(items):
            yield f"{check.__name__}: {fault}"
