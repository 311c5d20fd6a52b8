"""An expert shard that goes from 1 to 4 replicas and back through DNS, under load."""

import dataclasses
import json
import os
import tempfile
import time

from cluster import Metrics
from podman import Container

SHARD = "experts-a"
MOST_REPLICAS = 4
LOAD_SECONDS = int(os.environ.get("LOAD_SECONDS", "20"))
_CONCURRENCY = 24
_LONGEST_LOAD_S = 3600
_REQUESTS = "tramontane_requests_total"
_ROWS = "tramontane_expert_worker_rows_total"


@dataclasses.dataclass
class Phase:
    """What happened with a number of replicas."""
    replicas: int
    settled_s: float  # from the first start or SIGTERM until the coordinator saw all of them
    requests: int  # that ended
    failed: int  # of these
    tokens_per_s: float
    parts: list  # of the shard's rows since the first start or SIGTERM, one per replica


class Load:
    """load_client in a container, until it is ended."""

    def __init__(self, cluster):
        self._results = tempfile.TemporaryDirectory()
        os.chmod(self._results.name, 0o777)
        self._container = Container(
            "client", cluster.network, "load", [f"--volume={self._results.name}:/results"],
            ["load_client", "--target=coordinator:8470", f"--concurrency={_CONCURRENCY}",
             f"--duration_s={_LONGEST_LOAD_S}", "--prompt_tokens=uniform:50:200",
             "--output_tokens=uniform:8:64", "--progress=false", "--json_out=/results/load.json"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._container.remove()
        self._results.cleanup()

    def end(self):
        """Ends it; the one point of its report. It must have run until now."""
        if not self._container.running():
            raise RuntimeError(f"the load ended by itself: {self._container.log()}")
        self._container.stop(60)
        report = os.path.join(self._results.name, "load.json")
        with open(report, encoding="utf-8") as file:
            return json.load(file)["points"][0]


def _rows(cluster):
    """Rows that each replica of the shard has computed, by container."""
    return {worker.id: Metrics(worker).sum(_ROWS) for worker in cluster.workers[SHARD]}


def _measure(cluster, replicas, settled_s, rows_before):
    """Lets the load run for LOAD_SECONDS; what it did. `rows_before`: before the change."""

    def read():
        coordinator = Metrics(cluster.coordinator)
        return (coordinator.sum(_REQUESTS), coordinator.sum(_REQUESTS, 'status="OK"'),
                coordinator.sum("tramontane_generation_tokens_total"))

    started = time.monotonic()
    before = read()
    time.sleep(LOAD_SECONDS)
    ended, succeeded, tokens = (new - old for new, old in zip(read(), before))
    seconds = time.monotonic() - started
    rows = [count - rows_before.get(worker, 0) for worker, count in _rows(cluster).items()]
    return Phase(replicas, settled_s, int(ended), int(ended - succeeded), tokens / seconds,
                 [count / (sum(rows) or 1) for count in rows])


def _phase_faults(phase):
    if phase.failed != 0:
        yield f"{phase.replicas} replicas: {phase.failed} requests did not end with OK"
    if phase.requests == 0:
        yield f"{phase.replicas} replicas: no request ended in {LOAD_SECONDS} s"
    # How many is the choice of the process that runs attention: rows go where they are done soonest.
    for number, part in enumerate(phase.parts):
        if part == 0:
            yield f"{phase.replicas} replicas: replica {number} computed no row"


def _grow(cluster):
    while len(cluster.workers[SHARD]) < MOST_REPLICAS:
        cluster.add_worker(SHARD)


def _shrink(cluster, faults):
    while len(cluster.workers[SHARD]) > 1:
        code = cluster.stop_worker(SHARD)
        if code != 0:
            faults.append(f"a replica that got SIGTERM: exit code {code}; its log:\n"
                          f"{cluster.workers[SHARD][-1].log()}")
            return


def _run_phases(cluster, faults):
    phases = [_measure(cluster, 1, 0, {})]
    for replicas, change in ((MOST_REPLICAS, lambda: _grow(cluster)),
                             (1, lambda: _shrink(cluster, faults))):
        started = time.monotonic()
        rows = _rows(cluster)
        change()
        others = {shard: 1 for shard in cluster.SHARDS if shard != SHARD}
        cluster.await_replicas({SHARD: replicas, **others})
        phases.append(_measure(cluster, replicas, time.monotonic() - started, rows))
    return phases


def _load_faults(point):
    requests = point["requests"]
    if requests["ok"] == 0:
        yield "load: no request was answered"
    for count in ("failed", "not_sent", "wrong_usage"):
        if requests[count]:
            yield f"load: {requests[count]} requests {count}: {point['errors']}"
    # Those that ran when the load was ended.
    if requests["unfinished"] + requests["cancelled"] > _CONCURRENCY:
        yield f"load: more requests were left than ran at once: {requests}"


def check_scaling(cluster):
    """(faults, phases, the load's own counts of requests)."""
    faults = []
    with Load(cluster) as load:
        phases = _run_phases(cluster, faults)
        point = load.end()
    faults += _load_faults(point)
    for phase in phases:
        faults += _phase_faults(phase)
    if faults:
        faults.append(f"the coordinator's log:\n{cluster.coordinator.log()}")
    return faults, phases, point["requests"]
