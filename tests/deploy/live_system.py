"""The system that the live test watches: a coordinator, two attention workers, and two shards of
two expert workers each, on the demo model."""

import contextlib
import signal

import live_processes

NAMESPACE, MODEL = "live", "demo"
SHARDS = ("0-3", "4-7")
REPLICAS = 2
# Few places, so that a load that is too much fills the queue at once.
MAX_RUNNING, MAX_WAITING = 4, 8


class System:

    def __init__(self, root, binaries, folder, stack):
        self._binaries, self._folder, self._stack = binaries, folder, stack
        self.servers = {}
        common = [f"--model={root / 'deploy/demo_model'}", "--threads=1"]
        for shard in SHARDS:
            for replica in range(REPLICAS):
                self._start("expert_worker", f"expert-{shard}-{replica}",
                            [*common, f"--experts={shard}"], "expert-worker", shard)
        experts = ",".join(server.address for server in self.servers.values())
        attention = [self._start("attention_worker", f"attention-{i}", [
            *common, f"--model_name={MODEL}", f"--expert_workers={experts}"], "attention-worker")
                     for i in range(2)]
        workers = ",".join(server.address for server in attention)
        self.coordinator = self._start("coordinator", "coordinator", [
            *common, f"--model_name={MODEL}", f"--attention_workers={workers}",
            f"--max_running_requests={MAX_RUNNING}", f"--max_waiting_requests={MAX_WAITING}"],
                                       "coordinator")

    def _start(self, binary, name, flags, component, shard=""):
        labels = {"namespace": NAMESPACE, "model": MODEL, "component": component, "pod": name}
        if shard:
            labels["shard"] = shard
        server = live_processes.Server(self._folder, self._binaries / binary, name, flags, labels)
        self.servers[name] = server
        self._stack.callback(lambda: self.servers[name].stop(signal.SIGKILL))
        return server

    def targets(self):
        """As file_sd of Prometheus reads them."""
        return [{"targets": [server.metrics_address], "labels": server.labels}
                for server in self.servers.values()]

    def kill(self, name):
        self.servers[name].stop(signal.SIGKILL)

    def silence(self, name):
        """It keeps its connections and answers nobody."""
        self.servers[name].process.send_signal(signal.SIGSTOP)

    def start_again(self, name):
        self.servers[name] = self.servers[name].started_again()

    def await_serving(self):
        """Returns once a request has succeeded."""
        command = [str(self._binaries / "generate"), f"--target={self.coordinator.address}",
                   "--prompt_token_ids=1,5", "--max_tokens=1"]

        def generates():
            child = live_processes.Child(self._folder, "ready", command)
            child.process.wait(live_processes.START_TIMEOUT_S)
            return child.process.returncode == 0
        live_processes.await_value("the system serves", generates, live_processes.START_TIMEOUT_S)

    @contextlib.contextmanager
    def load(self, concurrency):
        """A closed loop of so many requests, half of whose prompts is a common prefix."""
        child = live_processes.Child(self._folder, f"load-{concurrency}", [
            str(self._binaries / "load_client"), f"--target={self.coordinator.address}",
            f"--concurrency={concurrency}", "--duration_s=36000", "--prompt_tokens=uniform:16:64",
            "--shared_prefix_tokens=48", "--num_prefixes=2", "--output_tokens=uniform:8:32",
            "--noprogress"])
        try:
            yield child
            if not child.is_running():
                raise ChildProcessError(f"the load ended by itself:\n{child.tail()}")
        finally:
            child.stop(signal.SIGKILL)

    def one_token_load(self):
        """Prompts of one token over and over, whose rows all go to the same experts. The beginning
        of each is its own, so that none is in the prefix cache."""
        def command(run):
            ids = [1, 100 + run % 1000, 100 + run // 1000] + [42] * 700
            return [str(self._binaries / "generate"), f"--target={self.coordinator.address}",
                    f"--prompt_token_ids={','.join(map(str, ids))}", "--max_tokens=1",
                    "--temperature=0"]
        return live_processes.Repeated(self._folder, "one-token", command)
