"""Images and containers, by podman's command line."""

import json
import os
import shlex
import subprocess
import time

PREFIX = os.environ.get("PREFIX", "localhost/tramontane")
TAG = os.environ.get("TAG", "test")
_PODMAN = ["podman"] + shlex.split(os.environ.get("PODMAN_OPTIONS", ""))
_CONTAINER_OPTIONS = shlex.split(os.environ.get("CONTAINER_OPTIONS", ""))
# What every container of the test must live with.
_CONFINED = ["--read-only", "--read-only-tmpfs=false", "--user=65532:65532", "--cap-drop=all",
             "--security-opt=no-new-privileges"]


class PodmanError(Exception):
    """A command of podman's that failed; says which, and what it printed."""


def podman(*arguments, timeout_s=120, check=True):
    """Runs podman; the finished process, its output as text."""
    command = [*_PODMAN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode != 0:
        raise PodmanError(f"{shlex.join(command)}: exit code {done.returncode}\n"
                          f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def image_name(target):
    """The image of a target of deploy/Dockerfile."""
    return f"{PREFIX}/{target.replace('_', '-')}:{TAG}"


def run_arguments(target, network, options, command):
    """Arguments of podman for a confined container of `target`."""
    return ["run", *_CONTAINER_OPTIONS, *_CONFINED, f"--network={network}", *options,
            image_name(target), *command]


class Container:
    """A confined container that runs in the background; `name` is its name in DNS, too."""

    def __init__(self, target, network, name, options, command):
        self.name = name
        self.id = podman(*run_arguments(
            target, network, ["--detach", f"--network-alias={name}", *options],
            command)).stdout.strip()

    def inspect(self):
        """What podman says of it."""
        return json.loads(podman("inspect", self.id).stdout)[0]

    def address(self):
        """Its IP address on the bridge."""
        networks = self.inspect()["NetworkSettings"]["Networks"]
        return next(iter(networks.values()))["IPAddress"]

    def running(self):
        """Whether its process lives."""
        return self.inspect()["State"]["Running"]

    def stop(self, timeout_s):
        """SIGTERM, then a wait; the exit code. Raises where it does not end by itself."""
        podman("kill", "--signal=TERM", self.id)
        deadline = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() > deadline:
                raise PodmanError(f"{self.name} {self.id[:12]} still ran {timeout_s} s after SIGTERM")
            time.sleep(0.1)
        return self.inspect()["State"]["ExitCode"]

    def log(self):
        """The end of its standard error, but for lines about single requests."""
        lines = [line for line in podman("logs", self.id, check=False).stderr.splitlines()
                 if 'event="request ended"' not in line]
        return "\n".join(lines[-40:])

    def remove(self):
        """Kills it where it still runs, and forgets it."""
        podman("rm", "--force", "--time=0", self.id, check=False)
