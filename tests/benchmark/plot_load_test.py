"""What plot_load.py reads from a report, and what it says where it cannot plot."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

import plot_load


def latency(count, p50):
    return {"count": count, "p50": p50, "p90": 2 * p50, "p99": 3 * p50}


def point(load, count=1):
    return {**load, "throughput": {"output_tokens_per_s": 100},
            "latency_ms": {"ttft": latency(1, 10), "itl": latency(count, 5), "e2e": latency(1, 90)}}


def report(points):
    return {"version": 1, "points": points, "model": {"name": "demo"},
            "configuration": {"prompt_tokens": "constant:128", "output_tokens": "constant:64",
                              "shared_prefix_tokens": 0}}


class PlotLoadTest(unittest.TestCase):

    def run_main(self, content):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "load.json"
            path.write_text(content, encoding="utf-8")
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                code = plot_load.main([str(path)])
            return code, errors.getvalue()

    def test_points_come_in_order_of_load(self):
        lists = plot_load.series(report([point({"concurrency": 8}), point({"concurrency": 1})]))
        self.assertEqual(lists["load"], [1, 8])
        self.assertEqual(lists["ttft"]["p99"], [30, 30])
        self.assertEqual(lists["throughput"], [100, 100])

    def test_rates_are_a_load_too(self):
        points = [point({"request_rate": 0.5}), point({"request_rate": 2})]
        self.assertEqual(plot_load.load_axis(points)[0], "request_rate")
        self.assertEqual(plot_load.series(report(points))["load"], [0.5, 2])

    def test_what_was_not_measured_is_a_gap(self):
        lists = plot_load.series(report([point({"concurrency": 1}, count=0)]))
        self.assertEqual(lists["itl"]["p50"], [None])

    def test_missing_matplotlib_is_told_with_its_package(self):
        with mock.patch.dict(sys.modules, {"matplotlib": None}):
            code, errors = self.run_main(json.dumps(report([point({"concurrency": 1})])))
        self.assertEqual(code, 1)
        self.assertEqual(errors, "error: matplotlib is missing: install the Debian package "
                                 "python3-matplotlib\n")

    def test_what_is_no_report_is_refused(self):
        for content in ("{", "[]", "{}", json.dumps(report([]))):
            code, errors = self.run_main(content)
            self.assertEqual(code, 1)
            self.assertIn("load.json: ", errors)
            self.assertEqual(errors.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
