"""The servers of a checkpoint as processes, for scripts."""

import json
import os
import signal
import subprocess
import tempfile
import time


class Servers:
    """A coordinator, with its experts or with two expert workers. Use as a context: they end with it.

    `address` is the API's, `metrics` the coordinator's endpoint. `flags` are of all programs, `coordinator_flags`
    of one. With `unix_sockets` the workers listen on files instead of ports. Logs stay in the folder `logs`, where one is named. ChildProcessError where a program does not listen
    within `start_timeout_s` of the context's begin, which includes loading.
    """

    def __init__(self, programs, model, flags, in_process, *, coordinator_flags=(), unix_sockets=False, logs=None,
                 environment=None, start_timeout_s=120):
        self._programs = programs
        self._flags = [f"--model={model}", *flags]
        self._coordinator_flags = list(coordinator_flags)
        self._in_process = in_process
        self._unix_sockets = unix_sockets
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        self._num_experts = config["num_local_experts"]
        self._environment = {**os.environ, **(environment or {})}
        self._start_timeout_s = start_timeout_s
        self._folder = tempfile.TemporaryDirectory()
        self._logs = logs or self._folder.name
        self._processes = []
        self.address = self.metrics = None

    def __enter__(self):
        try:
            self._deadline = time.monotonic() + self._start_timeout_s
            half = self._num_experts // 2
            if self._in_process:
                peers = "--experts_in_process"
            else:
                workers = [self._start("expert_worker", f"expert_worker_{first}", f"--experts={first}-{last}")
                           for first, last in ((0, half - 1), (half, self._num_experts - 1))]
                peers = "--expert_workers=" + ",".join(self._listening(*worker)[0] for worker in workers)
            coordinator = self._start("coordinator", "coordinator", peers, *self._coordinator_flags)
            self.address, self.metrics = self._listening(*coordinator)[:2]
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def _start(self, program, name, *flags):
        """(program, its process, the name of its files)."""
        on_file = self._unix_sockets and program != "coordinator"
        listen = f"unix:{self._folder.name}/{name}.sock" if on_file else "127.0.0.1:0"
        command = [self._programs / program, *self._flags, *flags, f"--listen={listen}",
                   "--metrics_listen=127.0.0.1:0", f"--address_file={self._folder.name}/{name}.address"]
        with open(f"{self._logs}/{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=self._environment)
        self._processes.append(process)
        return program, process, name

    def _listening(self, program, process, name):
        """The program's addresses, once it listens."""
        while True:
            try:
                with open(f"{self._folder.name}/{name}.address", encoding="utf-8") as file:
                    if lines := file.read().split():
                        return lines
            except FileNotFoundError:
                pass
            if process.poll() is not None or time.monotonic() > self._deadline:
                with open(f"{self._logs}/{name}.log", encoding="utf-8", errors="replace") as log:
                    raise ChildProcessError(f"{program} does not listen:\n{log.read()[-2000:]}")
            time.sleep(0.05)
