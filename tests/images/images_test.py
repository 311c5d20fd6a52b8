#!/usr/bin/env python3
"""Tests the images that are there; see run.sh. Prints a table; exit code 1 where a check failed."""

import datetime
import os
import subprocess
import sys

from cluster import Cluster
from confinement import check_confinement
from golden_tokens import check_golden_tokens
from image_checks import TARGETS, check_image
from podman import PodmanError, image_name
from scaling import SHARD, check_scaling


def _step(text):
    print(f"=== {text}", flush=True)


def _image_rows(faults):
    yield "| image | size, MiB | of it programs, MiB |"
    yield "| --- | --- | --- |"
    for target in TARGETS:
        found, size_mib, own_mib = check_image(target)
        faults += found
        yield f"| `{image_name(target)}` | {size_mib:.1f} | {own_mib:.1f} |"


def _scaling_rows(phases):
    yield (f"| replicas of `{SHARD}` | all serve after, s | requests | failed | tokens/s | "
           "part of each replica |")
    yield "| --- | --- | --- | --- | --- | --- |"
    for phase in phases:
        settled = f"{phase.settled_s:.1f}" if phase.settled_s else "-"
        parts = ", ".join(f"{part:.1%}" for part in phase.parts)
        yield (f"| {phase.replicas} | {settled} | {phase.requests} | {phase.failed} | "
               f"{phase.tokens_per_s:.0f} | {parts} |")


def _check_system(faults):
    """Lines of the table."""
    with Cluster() as cluster:
        _step("confinement")
        for container in [cluster.coordinator, *cluster.all_workers()]:
            faults += check_confinement(container)
        _step("golden tokens")
        found, cases, tokens = check_golden_tokens(cluster)
        faults += found
        yield f"Golden tokens: {tokens} of {cases} prompts compared, {len(found)} prompts differ."
        yield ""
        _step(f"{SHARD} from 1 to 4 replicas and back, under load")
        found, phases, requests = check_scaling(cluster)
        faults += found
        yield from _scaling_rows(phases)
        yield ""
        yield (f"Whole load: {requests['started']} requests started, {requests['ok']} complete, "
               f"{requests['failed']} failed, {requests['cancelled'] + requests['unfinished']} "
               "ended with the load.")


def main():
    """0 where every check passed."""
    faults = []
    lines = []
    try:
        _step("what is in the images")
        lines += _image_rows(faults)
        lines.append("")
        lines += _check_system(faults)
    except (OSError, PodmanError, RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
        faults.append(str(error))
    table = "\n".join(lines) + "\n"
    print(f"\n{table}")
    if path := os.environ.get("TABLE"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(table)
    for fault in faults:
        print(f"FAILED: {fault}", file=sys.stderr)
    print(f"{'FAILED' if faults else 'passed'} at {datetime.datetime.now():%H:%M:%S}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
