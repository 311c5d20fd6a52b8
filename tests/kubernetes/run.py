#!/usr/bin/env python3
"""Shows on a real cluster what the chart promises: install, scale, roll, drain, kill, upgrade,
remove, under load and with known tokens.

    KUBECONFIG=… tests/kubernetes/run.py [--markdown_out=table.md] [--scenarios=install,scale_shard,…]

Needs kubectl and helm (3.14 or newer) in the PATH, a cluster of two machines or more for the drain,
and the images of docs/images.md, and that of model_image.sh, where its machines find them:
REGISTRY/tramontane/{coordinator,expert-worker,attention-worker,client,demo-model}:TAG. It makes a
namespace of its own, in which the pod security standard `restricted` is enforced, and removes it.
About ten minutes. Exit codes: 0 every scenario was as promised; 1 one was not; 2 usage."""

import argparse
import copy
import pathlib
import sys
import time

import scenarios
from cluster import Cluster, Failure, run
from load import GoldenTokens

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_RELEASE = "demo"


class Settings:
    """What is installed: the bundled model in float32, whose tokens are Transformers' own, on two
    shards of experts."""

    shard = "a"
    stateful_set = f"{_RELEASE}-tramontane-expert-a"
    api_service = f"{_RELEASE}-tramontane"
    client_labels = {"app.kubernetes.io/name": "tramontane-load"}

    def __init__(self, registry, tag, pull_policy, attention_workers):
        self.client_image = f"{registry}/tramontane/client:{tag}"
        self.pull_policy = pull_policy
        self.has_attention_workers = attention_workers > 0
        copy_model = {
            "name": "demo-model", "image": f"{registry}/tramontane/demo-model:{tag}",
            "imagePullPolicy": pull_policy,
        }
        requests = {"requests": {"cpu": "50m", "memory": "96Mi"}}
        self.values = {
            "image": {"registry": registry, "tag": tag, "pullPolicy": pull_policy},
            "model": {"name": "demo", "numLayers": 4, "numExperts": 8, "compute": "f32",
                      "init": {"containers": [copy_model]}},
            "attention": {"kvCacheTokens": 16384},
            "coordinator": {"resources": requests, "threads": 1,
                            "drain": {"preStopSeconds": 5, "timeoutSeconds": 30}},
            "attentionWorkers": {"replicas": attention_workers, "resources": requests,
                                 "threads": 1, "minReadySeconds": 5},
            "expertWorkers": {"resources": requests, "threads": 1, "minReadySeconds": 5,
                              "shards": [{"name": "a", "experts": "0-3"},
                                         {"name": "b", "experts": "4-7"}]},
        }

    def with_replicas(self, count, **expert_flags):
        """Values with so many replicas of each workload that may have several."""
        values = copy.deepcopy(self.values)
        if self.has_attention_workers:
            values["attentionWorkers"]["replicas"] = count
        else:
            values["coordinator"]["replicas"] = count
        values["expertWorkers"]["replicas"] = count
        values["expertWorkers"]["extraFlags"] = expert_flags
        return values

    def with_attention_workers(self, count):
        values = copy.deepcopy(self.values)
        values["attentionWorkers"]["replicas"] = count
        return values

    def with_slow_shard(self):
        """A third shard, of all experts, that has a hundredth of a processor."""
        values = copy.deepcopy(self.values)
        values["expertWorkers"]["shards"].append(
            {"name": "slow", "experts": "all",
             "resources": {"requests": {"cpu": "10m", "memory": "96Mi"},
                           "limits": {"cpu": "10m"}}})
        return values


def create_namespace(name):
    run(["kubectl", "create", "namespace", name])
    run(["kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted",
         "pod-security.kubernetes.io/enforce-version=latest"])


def run_scenarios(chosen, cluster, settings, golden):
    """The table's lines, and whether all was as promised."""
    lines = ["| what | seen | took |", "| --- | --- | --- |"]
    print("\n".join(lines), flush=True)
    passed = True
    for scenario in chosen:
        started = time.monotonic()
        try:
            seen = scenario(cluster, settings, golden)
        except Failure as failure:
            passed = False
            seen = f"FAILED: {failure}"
        # A row must not end because another one found something unforeseen.
        except (KeyError, IndexError, ValueError) as error:
            passed = False
            seen = f"FAILED: {type(error).__name__}: {error}"
        line = (f"| {scenario.__doc__.splitlines()[0]} | {' '.join(seen.split())} "
                f"| {time.monotonic() - started:.0f} s |")
        print(line, flush=True)
        lines.append(line)
    return lines, passed


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [scenario.__name__ for scenario in scenarios.ALL]
    parser.add_argument("--registry", default="localhost", help="of the images (%(default)s)")
    parser.add_argument("--tag", default="dev", help="of the images (%(default)s)")
    parser.add_argument("--pull_policy", default="IfNotPresent", help="(%(default)s)")
    parser.add_argument("--namespace", default="tramontane-test",
                        help="made, and removed at the end (%(default)s)")
    parser.add_argument("--attention_workers", type=int, default=0,
                        help="so many, in place of attention in the coordinator (%(default)s)")
    parser.add_argument("--scenarios", default=",".join(names),
                        help="names, separated by commas (all of them)")
    parser.add_argument("--keep", action="store_true", help="keep the namespace, to look into it")
    parser.add_argument("--markdown_out", help="file for the table")
    arguments = parser.parse_args()
    unknown = set(arguments.scenarios.split(",")) - set(names)
    if unknown:
        parser.error(f"--scenarios: expected names of {', '.join(names)}; found {unknown}")
    arguments.chosen = [scenario for scenario in scenarios.ALL
                        if scenario.__name__ in arguments.scenarios.split(",")]
    return arguments


def main():
    arguments = parse_arguments()
    settings = Settings(arguments.registry, arguments.tag, arguments.pull_policy,
                        arguments.attention_workers)
    golden = GoldenTokens(_ROOT / "tests/golden/demo/golden.json", num_tokens=32)
    cluster = Cluster(arguments.namespace, _RELEASE, str(_ROOT / "helm/tramontane"))
    try:
        create_namespace(arguments.namespace)
    except (Failure, FileNotFoundError) as failure:
        print(f"error: no namespace {arguments.namespace}: {failure}", file=sys.stderr)
        return 1
    try:
        lines, passed = run_scenarios(arguments.chosen, cluster, settings, golden)
    finally:
        if not arguments.keep:
            run(["kubectl", "delete", "namespace", arguments.namespace, "--wait=true"], 180)
    if arguments.markdown_out:
        pathlib.Path(arguments.markdown_out).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
