#!/usr/bin/env python3
"""Plots latency against load from the JSON of a load_client sweep.

    plot_load.py load.json [--output=load.svg]

Four panels over the load (concurrency or requests a second): time to first token, inter-token
latency, end-to-end time (each p50, p90, p99, in milliseconds) and throughput. Needs matplotlib.
"""

import argparse
import json
import pathlib
import sys

LATENCIES = (("ttft", "time to first token"), ("itl", "inter-token latency"),
             ("e2e", "end-to-end time"))
PERCENTILES = ("p50", "p90", "p99")


class PlotError(Exception):
    """What keeps the plot from being made, in a line for the user."""


def read_report(path):
    """The report in a file that load_client has written."""
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlotError(f"{path}: {error}") from error
    if not isinstance(report, dict) or report.get("version") != 1 or "points" not in report:
        raise PlotError(f"{path}: expected the JSON of load_client, version 1")
    if not report["points"]:
        raise PlotError(f"{path}: no load has been measured yet")
    return report


def load_axis(points):
    """The field that tells the load, and what it is called."""
    if all("concurrency" in point for point in points):
        return "concurrency", "concurrency (requests at once)"
    return "request_rate", "load (requests/s)"


def series(report):
    """Lists to plot, in order of load: {"load": […], "ttft": {"p50": […], …}, …, "throughput"}.

    A latency that a point did not measure is None, which leaves a gap.
    """
    field, _ = load_axis(report["points"])
    points = sorted(report["points"], key=lambda point: point[field])
    lists = {"load": [point[field] for point in points]}
    for name, _ in LATENCIES:
        latencies = [point["latency_ms"][name] for point in points]
        lists[name] = {percentile: [latency[percentile] if latency["count"] > 0 else None
                                    for latency in latencies] for percentile in PERCENTILES}
    lists["throughput"] = [point["throughput"]["output_tokens_per_s"] for point in points]
    return lists


def title(report):
    """What was measured, in a line."""
    configuration = report["configuration"]
    prefix = configuration["shared_prefix_tokens"]
    return (f"{report['model']['name']}: prompt {configuration['prompt_tokens']}"
            f"{f' after {prefix} shared' if prefix else ''}, "
            f"output {configuration['output_tokens']}")


def import_pyplot():
    """matplotlib.pyplot, drawing without a screen."""
    try:
        import matplotlib
        matplotlib.use("svg")
        from matplotlib import pyplot
    except ImportError as error:
        raise PlotError("matplotlib is missing: install the Debian package "
                        "python3-matplotlib") from error
    return pyplot


def draw(pyplot, report, output):
    """Writes the plot to the SVG file."""
    lists = series(report)
    _, axis_name = load_axis(report["points"])
    figure, panels = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    figure.suptitle(title(report))
    for panel, (name, long_name) in zip(panels.flat, LATENCIES):
        for percentile in PERCENTILES:
            panel.plot(lists["load"], lists[name][percentile], marker="o", label=percentile)
        panel.set(title=long_name, ylabel="milliseconds")
        panel.set_ylim(bottom=0)
        panel.legend()
    panels.flat[3].plot(lists["load"], lists["throughput"], marker="o", color="black")
    panels.flat[3].set(title="throughput", ylabel="output tokens/s")
    panels.flat[3].set_ylim(bottom=0)
    for panel in panels.flat:
        panel.set_xlabel(axis_name)
        panel.grid(alpha=0.3)
    try:
        figure.savefig(output, format="svg")
    except OSError as error:
        raise PlotError(f"{output}: {error.strerror}") from error
    finally:
        pyplot.close(figure)


def main(arguments):
    """Exit code: 0, 1 where no plot could be made, 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        description="Plots latency against load from the JSON of a load_client sweep.")
    parser.add_argument("report", help="file of load_client's --json_out")
    parser.add_argument("--output", help="SVG file; default: the report's name with .svg")
    parsed = parser.parse_args(arguments)
    output = parsed.output or str(pathlib.Path(parsed.report).with_suffix(".svg"))
    try:
        report = read_report(parsed.report)
        draw(import_pyplot(), report, output)
    except PlotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
