"""The system in containers on a bridge network of its own: coordinator and expert workers."""

import json
import os
import pathlib
import re
import time
import urllib.request

from podman import Container, podman, run_arguments

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model"
START_TIMEOUT_S = 120
DRAIN_TIMEOUT_S = 30
_ANYWHERE = "--allow_plaintext_beyond_loopback"


class Cluster:
    """A coordinator and the shards `experts-a` (0-3) and `experts-b` (4-7), a replica each.

    A shard is a DNS name that resolves to all of its replicas. Use as a context: what was started
    is gone at its end.
    """

    SHARDS = {"experts-a": "0-3", "experts-b": "4-7"}

    def __init__(self):
        self.network = f"tramontane-test-{os.getpid()}"
        self.workers = {shard: [] for shard in self.SHARDS}
        self.coordinator = None

    def __enter__(self):
        podman("network", "create", self.network)
        try:
            self.coordinator = self._start("coordinator", "coordinator", 8470, [
                "--expert_workers=" + ",".join(f"{shard}:8480" for shard in self.SHARDS)])
            for shard in self.SHARDS:
                self.add_worker(shard)
            self.await_replicas({shard: 1 for shard in self.SHARDS})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for container in [self.coordinator, *self.all_workers()]:
            if container is not None:
                container.remove()
        podman("network", "rm", "--force", self.network, check=False)

    def _start(self, target, alias, port, flags):
        return Container(target, self.network, alias, [f"--volume={MODEL}:/model:ro"], [
            "--model=/model", f"--listen=0.0.0.0:{port}", "--metrics_listen=0.0.0.0:9470",
            "--health_listen=0.0.0.0:8471", "--compute=f32", _ANYWHERE,
            f"--drain_timeout_s={DRAIN_TIMEOUT_S}", *flags])

    def all_workers(self):
        """The containers of all shards."""
        return [worker for workers in self.workers.values() for worker in workers]

    def add_worker(self, shard):
        """One more replica."""
        worker = self._start("expert_worker", shard, 8480, [f"--experts={self.SHARDS[shard]}"])
        self.workers[shard].append(worker)
        return worker

    def stop_worker(self, shard):
        """SIGTERM to the replica that came last; its exit code."""
        worker = self.workers[shard][-1]
        code = worker.stop(DRAIN_TIMEOUT_S + 10)
        if code == 0:
            self.workers[shard].pop().remove()
        return code

    def client(self, *command):
        """Runs a command in a client's container to its end; the finished process."""
        return podman(*run_arguments("client", self.network, ["--rm"], command), check=False)

    def replicas(self):
        """Shard to the number of its replicas that serve, as the coordinator sees them."""
        # Not in a container of its own: each that comes or goes makes the network's DNS load anew.
        done = podman("exec", self.coordinator.id, "tramontanectl", "placement", "--json",
                      check=False)
        counts = dict.fromkeys(self.SHARDS, 0)
        if done.returncode != 0:
            return counts
        for worker in json.loads(done.stdout)["processes"][0]["expert_workers"]:
            if worker["state"] == "serving":
                first = worker["experts"][0]["first_expert"]
                shard = next(s for s, e in self.SHARDS.items() if e.startswith(f"{first}-"))
                counts[shard] += 1
        return counts

    def await_replicas(self, expected):
        """Waits until the coordinator sees these replicas serve; the seconds it took."""
        started = time.monotonic()
        while (found := self.replicas()) != expected:
            if time.monotonic() - started > START_TIMEOUT_S:
                raise TimeoutError(f"replicas that serve: expected {expected}, found {found}; "
                                   f"the coordinator's log:\n{self.coordinator.log()}")
            time.sleep(0.5)
        return time.monotonic() - started


class Metrics:
    """One answer of a container's metrics endpoint."""

    def __init__(self, container):
        url = f"http://{container.address()}:9470/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            self._text = answer.read().decode()

    def sum(self, name, label=""):
        """Sum of a metric over its labels, or over those with `label`."""
        series = re.findall(rf"^{name}({{[^}}]*}})? (\S+)$", self._text, re.MULTILINE)
        return sum(float(value) for labels, value in series if label in labels)
