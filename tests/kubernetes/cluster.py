"""A Kubernetes cluster as kubectl and helm see it: one namespace, deadlines on every wait."""

import json
import subprocess
import time


class Failure(Exception):
    """What was expected and what was found."""


def run(arguments, timeout_s=120, stdin=None, check=True):
    """Runs a command; its standard output. A failure tells the command and what it printed."""
    try:
        done = subprocess.run(arguments, input=stdin, capture_output=True, text=True,
                              timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"{' '.join(arguments)}: not done within {timeout_s} s") from expired
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(arguments)}: exit code {done.returncode}: "
                      f"{(done.stderr or done.stdout).strip()}")
    return done.stdout


def wait_for(what, condition, timeout_s, every_s=0.5):
    """The first true value of `condition`, asked again and again; a Failure naming `what` else."""
    deadline = time.monotonic() + timeout_s
    last_error = ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except Failure as failure:
            last_error = f"; last: {failure}"
        if time.monotonic() >= deadline:
            raise Failure(f"not within {timeout_s} s: {what}{last_error}")
        time.sleep(every_s)


class Cluster:
    """The release under test in its namespace."""

    def __init__(self, namespace, release, chart):
        self.namespace = namespace
        self.release = release
        self.chart = chart

    def kubectl(self, *arguments, timeout_s=120, stdin=None, check=True):
        return run(["kubectl", "-n", self.namespace, *arguments], timeout_s, stdin, check)

    def get(self, kind, selector=None, name=None):
        """The object, or the list of objects of a kind."""
        arguments = ["get", kind, "-o", "json"]
        if name:
            return json.loads(self.kubectl(*arguments, name))
        if selector:
            arguments += ["-l", selector]
        return json.loads(self.kubectl(*arguments))["items"]

    def helm(self, *arguments, timeout_s=300, check=True):
        return run(["helm", "-n", self.namespace, *arguments], timeout_s, check=check)

    def install(self, values):
        return self._helm_with("install", values, ["--wait"])

    def upgrade(self, values, wait=True):
        return self._helm_with("upgrade", values, ["--wait"] if wait else [])

    def _helm_with(self, verb, values, arguments, timeout_s=240):
        return run(["helm", "-n", self.namespace, verb, self.release, self.chart, "-f", "-",
                    "--timeout", f"{timeout_s}s", *arguments],
                   timeout_s + 30, stdin=json.dumps(values))

    # Pods

    def pods(self, component=None, shard=None):
        """Pods of the release that are not going away, by name."""
        selector = f"app.kubernetes.io/instance={self.release}"
        if component:
            selector += f",app.kubernetes.io/component={component}"
        if shard:
            selector += f",tramontane/shard={shard}"
        pods = [pod for pod in self.get("pods", selector)
                if "deletionTimestamp" not in pod["metadata"]]
        return sorted(pods, key=lambda pod: pod["metadata"]["name"])

    def await_ready(self, component, count, shard=None, timeout_s=180):
        """Until exactly `count` pods are there and all of them are ready."""
        def ready():
            pods = self.pods(component, shard)
            return len(pods) == count and all(is_ready(pod) for pod in pods) and pods
        return wait_for(f"{count} ready pods of {shard or component}", ready, timeout_s)

    def metrics(self, pod_name, port=9470):
        """The pod's metrics as text, through the API server."""
        return run(["kubectl", "get", "--raw",
                    f"/api/v1/namespaces/{self.namespace}/pods/{pod_name}:{port}/proxy/metrics"])

    def metric_sum(self, pod_name, metric):
        """The sum of a metric over its labels."""
        total = 0.0
        for line in self.metrics(pod_name).splitlines():
            if line.startswith(metric + "{") or line.startswith(metric + " "):
                total += float(line.rsplit(" ", 1)[1])
        return total


def is_ready(pod):
    return any(condition["type"] == "Ready" and condition["status"] == "True"
               for condition in pod["status"].get("conditions", []))


def restarts(pod):
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
