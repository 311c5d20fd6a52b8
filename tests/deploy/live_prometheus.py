"""A Prometheus for the live test: the distribution's, scraping every second, with all rules."""

import json
import math
import re
import signal
import time
import urllib.error
import urllib.parse
import urllib.request

import live_processes
import rule_files

QUERY_TIMEOUT_S = 20
_LISTENS = re.compile(r'msg="Listening on" address=(\S+)')


class Prometheus:
    """`scale` times as long as in the rule files are ranges and `for`, all else is as it is: an
    hour's rule shows in half a minute. Ranges below shortest_range_s would hold no two scrapes."""

    def __init__(self, root, folder, stack, targets, scale, shortest_range_s):
        rules = folder / "rules"
        rules.mkdir()
        for path in (root / "deploy/prometheus").glob("*.rules.yml"):
            text = rule_files.scaled(path.read_text(encoding="utf-8"), scale, shortest_range_s, 1)
            (rules / path.name).write_text(text, encoding="utf-8")
        (folder / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
        # JSON is YAML, too.
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.rules.yml"],
            "scrape_configs": [{
                "job_name": "tramontane",
                "file_sd_configs": [{"files": ["targets.json"]}]}]}), encoding="utf-8")
        self._child = live_processes.Child(folder, "prometheus", [
            str(root / "build/tools/bin/prometheus"), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}", "--web.listen-address=127.0.0.1:0"])
        stack.callback(lambda: self._child.stop(signal.SIGKILL))
        match, _ = live_processes.await_value(
            "Prometheus listens", self._address, live_processes.START_TIMEOUT_S)
        self._url = f"http://{match.group(1)}"
        live_processes.await_value(
            "Prometheus is ready", self._is_ready, live_processes.START_TIMEOUT_S)

    def _address(self):
        if not self._child.is_running():
            raise ChildProcessError(f"Prometheus ended:\n{self._child.tail()}")
        return _LISTENS.search(self._child.log.read_text())

    def _is_ready(self):
        try:
            with urllib.request.urlopen(self._url + "/-/ready", timeout=QUERY_TIMEOUT_S):
                return True
        except urllib.error.HTTPError:  # 503 while it begins
            return False

    def get(self, path, **parameters):
        """The `data` of an answer; ValueError with Prometheus's words where it is an error."""
        body = urllib.parse.urlencode(parameters).encode() if parameters else None
        if path.startswith("/api/v1/series"):
            path, body = f"{path}?{body.decode()}", None
        try:
            with urllib.request.urlopen(self._url + path, body, QUERY_TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode(errors="replace")) from error

    def query(self, expr):
        """label sets and values of now: [(labels, [value])]."""
        result = self.get("/api/v1/query", query=expr)
        if result["resultType"] == "scalar":
            return [({}, [float(result["result"][1])])]
        return [(series["metric"], [float(series["value"][1])]) for series in result["result"]]

    def query_range(self, expr, length_s, step_s):
        """The same over the last length_s seconds: [(labels, [value, …])]."""
        now = time.time()
        result = self.get("/api/v1/query_range", query=expr, start=now - length_s, end=now,
                          step=step_s)
        return [(series["metric"], [float(value) for _, value in series["values"]])
                for series in result["result"]]

    def label_values(self, selector, label):
        series = self.get("/api/v1/series", **{"match[]": selector})
        return sorted({labels[label] for labels in series if labels.get(label)})

    def rules(self):
        """Every rule as Prometheus has it."""
        return [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def firing(self):
        """name → labels of one of its firing alerts."""
        return {alert["labels"]["alertname"]: alert["labels"]
                for alert in self.get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"}

    def targets_up(self):
        return [target["scrapeUrl"] for target in self.get("/api/v1/targets")["activeTargets"]
                if target["health"] == "up"]


def finite(series):
    """Those of the series that have a finite value."""
    return [(labels, values) for labels, values in series if any(map(math.isfinite, values))]
