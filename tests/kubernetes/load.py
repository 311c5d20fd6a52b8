"""Load from pods of the cluster, and what it saw: no request may fail, no token may differ."""

import json
import threading
import time

from cluster import Failure, is_ready, run, wait_for

_API_PORT = 8470


def client_pod(name, image, pull_policy, arguments, labels):
    """A pod of the client image that the pod security standard `restricted` admits."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 60,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "client", "image": image, "imagePullPolicy": pull_policy,
                "command": arguments,
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False,
                                    "readOnlyRootFilesystem": True,
                                    "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }


class GoldenTokens:
    """Prompts of the bundled model and the tokens that Transformers makes of them."""

    def __init__(self, path, num_tokens):
        with open(path, encoding="utf-8") as file:
            cases = json.load(file)["cases"]
        self.cases = [(case["prompt_token_ids"], case["greedy_token_ids"][:num_tokens])
                      for case in cases]
        self.num_tokens = num_tokens

    def command(self, number, target):
        """A call of the client program, and the tokens that are right."""
        prompt, tokens = self.cases[number % len(self.cases)]
        return (["generate", f"--target={target}", "--json", "--temperature=0", "--ignore_eos",
                 f"--max_tokens={self.num_tokens}", "--max_attempts=5", "--timeout_s=60",
                 "--prompt_token_ids=" + ",".join(map(str, prompt))], tokens)


class Load:
    """A steady load for as long as the `with` lasts: load_client in a pod of its own, and calls
    whose tokens are known, one after the other, by exec in the same pod."""

    def __init__(self, cluster, settings, golden, concurrency=4):
        self._cluster = cluster
        self._golden = golden
        self._settings = settings
        self._target = f"{settings.api_service}:{_API_PORT}"
        self.pod_name = f"load-{int(time.monotonic() * 10) % 10 ** 8}"
        self._concurrency = concurrency
        self._stop = threading.Event()
        self._checker = threading.Thread(target=self._check, daemon=True)
        self.checked = 0
        self.problems = []
        self.report = None

    def __enter__(self):
        arguments = ["load_client", f"--target={self._target}", "--connections=4",
                     f"--concurrency={self._concurrency}", "--duration_s=3600",
                     "--prompt_tokens=uniform:4:64", "--output_tokens=uniform:8:64",
                     "--max_attempts=5", "--json_out=/dev/stdout"]
        pod = client_pod(self.pod_name, self._settings.client_image, self._settings.pull_policy,
                         arguments, self._settings.client_labels)
        self._cluster.kubectl("create", "-f", "-", stdin=json.dumps(pod))
        wait_for(f"pod {self.pod_name} runs",
                 lambda: is_ready(self._cluster.get("pod", name=self.pod_name)), 90)
        self._checker.start()
        wait_for("first checked tokens", lambda: self.checked > 1 or self.problems, 90)
        return self

    def __exit__(self, kind, value, trace):
        self._stop.set()
        self._checker.join(timeout=90)
        try:
            # SIGTERM: it cuts off the requests that run, and prints its report. A pod that was
            # deleted would take its log along; one that is past its time keeps it.
            self._cluster.kubectl("patch", "pod", self.pod_name, "--type=merge",
                                  "-p", '{"spec": {"activeDeadlineSeconds": 1}}')
            wait_for("the load's report", self._ended, 90)
            output = self._cluster.kubectl("logs", self.pod_name)
        finally:
            self._cluster.kubectl("delete", "pod", self.pod_name, "--wait=false", check=False)
        if kind is not None:
            return False
        self.report = last_report(output)["points"][-1]
        for code, error in self.report["errors"].items():
            self.problems.append(f"{error['count']} x {code}: {error['example']}")
        return False

    def _ended(self):
        statuses = self._cluster.get("pod", name=self.pod_name)["status"]["containerStatuses"]
        return all("terminated" in status["state"] for status in statuses)

    def settle(self, seconds):
        """More load after an event: what it left behind is felt too."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.problems:
            time.sleep(0.2)

    def result(self):
        """Requests that were right, for the table; a Failure where one was not."""
        if self.problems:
            raise Failure("; ".join(self.problems[:5]))
        done = self.report["requests"]
        if done["ok"] == 0 or self.checked == 0:
            raise Failure("the load made no request")
        return (f"{done['ok']} requests, 0 failed; {self.checked} with known tokens, all equal; "
                f"{self.report['throughput']['output_tokens_per_s']:.0f} tokens/s, "
                f"longest between two tokens {self.report['latency_ms']['itl']['max'] / 1000:.2f} s")

    def _check(self):
        number = 0
        while not self._stop.is_set() and not self.problems:
            command, tokens = self._golden.command(number, self._target)
            try:
                answer = json.loads(run(
                    ["kubectl", "-n", self._cluster.namespace, "exec", self.pod_name, "--", *command],
                    timeout_s=90))
                if answer["token_ids"] != tokens:
                    self.problems.append(f"prompt {number}: expected the tokens {tokens}, "
                                         f"found {answer['token_ids']}")
            except Failure as failure:
                self.problems.append(str(failure))
            self.checked += 1
            number += 1


def last_report(output):
    """The last report of load_client in `output`, whatever stands around it."""
    decoder = json.JSONDecoder()
    found = None
    position = 0
    while (position := output.find("{", position)) >= 0:
        try:
            value, position = decoder.raw_decode(output, position)
        except json.JSONDecodeError:
            position += 1
            continue
        if value.get("points"):
            found = value
    if found is None:
        raise Failure(f"expected a report of the load, found: {output[-500:]!r}")
    return found
