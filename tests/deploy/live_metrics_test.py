"""live_metrics_test.py ROOT BIN [--scale=S]: runs every dashboard's and rule's expression against a
live Prometheus that scrapes a live system under load, then makes faults and waits for their alerts
to fire and to clear. Prints what it saw; exit code 1 where anything is not as it should be.

Ranges and `for` of the rules are S times (1/120) as long, ranges at least SHORTEST_RANGE_S seconds:
the expressions and thresholds stay as they are. --scale=0.05 takes two minutes,
--scale=1, as deployed, the better part of an hour.
"""

import argparse
import contextlib
import pathlib
import sys
import tempfile
import time

import dashboard_files
import live_expressions
import live_processes
import live_prometheus
import live_system

SHORTEST_RANGE_S = 6
# What an alert may take beyond the scaled half hour that is more than the longest rule takes.
ALERT_TIMEOUT_S, LONGEST_ALERT_S = 60, 1800
# These follow from how busy the machine of the test is; the others must be quiet without a fault.
MACHINE_DEPENDENT = {
    "TramontaneFirstTokenSlow", "TramontaneInterTokenSlow", "TramontaneQueueGrows",
    "TramontaneExpertShardBusy", "TramontaneExpertWorkerSlow", "TramontaneExpertWorkerQueueLong"}


class Test:

    def __init__(self, system, prometheus, scale):
        self.system, self.prometheus = system, prometheus
        self._timeout_s = ALERT_TIMEOUT_S + LONGEST_ALERT_S * scale
        self.table = []  # of [fault, alert, seconds until it fired, seconds until it cleared]

    def _await(self, names, fire, meanwhile=None):
        """Seconds until each alert fires, or is gone."""
        waiting, taken, started = set(names), {}, time.monotonic()

        def look():
            if meanwhile:
                meanwhile()
            firing = set(self.prometheus.firing())
            for name in sorted(waiting):
                if (name in firing) == fire:
                    waiting.discard(name)
                    taken[name] = time.monotonic() - started
            return not waiting
        what = f"{', '.join(names)} {'fires' if fire else 'clears'}"
        try:
            live_processes.await_value(what, look, self._timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; firing: {sorted(self.prometheus.firing())}") from error
        return taken

    def fires(self, fault, names, meanwhile=None):
        already = sorted(set(names) & set(self.prometheus.firing()))
        if already:
            raise AssertionError(f"{already} fires before {fault}")
        for name, seconds in self._await(names, True, meanwhile).items():
            self.table.append([fault, name, seconds, None])

    def clears(self, names):
        cleared = self._await(names, False)
        for row in self.table:
            if row[1] in cleared and row[3] is None:
                row[3] = cleared[row[1]]

    def quiet(self):
        firing = set(self.prometheus.firing()) - MACHINE_DEPENDENT
        if firing:
            raise AssertionError(f"without a fault, expected no alert, found {sorted(firing)}")

    def workers_die(self, while_firing):
        """A replica falls silent, so that batches which it has are sent again, and an attention
        worker is killed. Both come back."""
        alerts = ["TramontaneExpertRedundancyLost", "TramontaneTargetDown",
                  "TramontaneAttentionWorkerDown"]
        self.system.silence("expert-0-3-0")
        self.system.kill("attention-1")
        self.fires("an expert worker silent, an attention worker killed", alerts)
        while_firing()
        self.system.kill("expert-0-3-0")
        self.system.start_again("expert-0-3-0")
        self.system.start_again("attention-1")
        self.clears(alerts)

    def shard_dies(self):
        """All replicas of a shard are killed and come back: requests wait meanwhile."""
        replicas = ("expert-0-3-0", "expert-0-3-1")
        for name in replicas:
            self.system.kill(name)
        self.fires("both expert workers of a shard killed", ["TramontaneExpertMissing"])
        for name in replicas:
            self.system.start_again(name)
        self.clears(["TramontaneExpertMissing"])

    def expert_runs_hot(self):
        with self.system.load(concurrency=4):
            self._await(["TramontaneExpertHot"], False)
        load = self.system.one_token_load()
        try:
            self.fires("prompts of one token, again and again", ["TramontaneExpertHot"], load.poll)
        finally:
            load.stop()
        with self.system.load(concurrency=4):
            self.clears(["TramontaneExpertHot"])

    def queue_fills(self):
        with self.system.load(concurrency=64):
            self.fires("eight times as many requests as there are places",
                       ["TramontaneRequestsRefused"])
        self.clears(["TramontaneRequestsRefused"])


def await_rates(prometheus, system):
    """Returns once every target is scraped and rates of the load can be computed."""
    num_targets = len(system.targets())
    live_processes.await_value(
        "every target is scraped", lambda: len(prometheus.targets_up()) == num_targets,
        live_processes.START_TIMEOUT_S)
    live_processes.await_value(
        "rates of the load", lambda: live_prometheus.finite(prometheus.query(
            "tramontane:expert_load:ratio5m > 0 and on () "
            "rate(tramontane_generation_tokens_total[8s]) > 0")), live_processes.START_TIMEOUT_S)
    # Groups of rules are evaluated in turns: the last of them may not have seen the load yet.
    records = [rule["name"] for rule in prometheus.rules() if rule["type"] == "recording"]
    live_processes.await_value(
        "every recording rule has a value",
        lambda: all(live_prometheus.finite(prometheus.query(name)) for name in records),
        live_processes.START_TIMEOUT_S)


def run(root, binaries, scale, folder, stack):
    system = live_system.System(root, binaries, folder, stack)
    system.await_serving()
    prometheus = live_prometheus.Prometheus(
        root, folder, stack, system.targets(), scale, SHORTEST_RANGE_S)
    expressions = live_expressions.Expressions(prometheus, dashboard_files.read(root))
    test = Test(system, prometheus, scale)
    with system.load(concurrency=4):
        await_rates(prometheus, system)
        faults = [*expressions.dashboards(live_expressions.UNDER_LOAD), *expressions.rules(root)]
        test.quiet()
        test.workers_die(lambda: faults.extend(
            expressions.dashboards(live_expressions.WHILE_FIRING)))
        test.shard_dies()
        faults += expressions.dashboards(live_expressions.AFTER_RECOVERY)
    test.expert_runs_hot()
    test.queue_fills()
    print(expressions.summary())
    print(f"{'fault':<55} {'alert':<33} {'fired':>7} {'cleared':>8}")
    for fault, alert, fired, cleared in test.table:
        print(f"{fault:<55} {alert:<33} {fired:>5.1f} s {cleared:>6.1f} s")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("bin", type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--scale", type=float, default=1 / 120)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        faults = run(arguments.root, arguments.bin, arguments.scale, pathlib.Path(folder), stack)
    for fault in faults:
        print(f"error: {fault}")
    print(f"{len(faults)} errors in {time.monotonic() - started:.0f} s; ranges and `for` of the rules "
          f"{arguments.scale:.4f} times as long, ranges at least {SHORTEST_RANGE_S} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
