"""report.py DIR: what run.sh left in DIR as results.json and, for reading, results.md."""

import json
import pathlib
import sys


def _read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def collect(directory):
    """Everything that was measured; what was left out is absent."""
    steps = [dict(zip(("name", "result", "seconds"), line.split("\t")))
             for line in (directory / "steps.tsv").read_text(encoding="utf-8").splitlines()]
    tests = _read(directory / "tests.json")
    skipped = sum(case.get("result") == "SKIPPED" for suite in tests.get("testsuites", ())
                  for case in suite["testsuite"])
    return {
        "steps": steps,
        "tests": {"run": tests.get("tests", 0) - skipped, "skipped": skipped,
                  "failed": tests.get("failures", 0)},
        "peak": _read(directory / "peak.json"),
        "benchmark": _read(directory / "benchmark.json"),
    }


def page(results):
    """The results as Markdown."""
    peak, benchmark, tests = results["peak"], results["benchmark"], results["tests"]
    lines = ["# Kernels and servers with CUDA", "", "| step | result | seconds |", "| --- | --- | --- |"]
    lines += [f"| {s['name']} | {s['result']} | {s['seconds']} |" for s in results["steps"]]
    lines += ["", f"Tests of kernels: {tests['run']} run, {tests['failed']} failed, {tests['skipped']} skipped."]
    if peak:
        lines.append(f"{peak['device']}: bf16 products at {peak['bf16_flop_per_s'] / 1e12:.0f} TFLOP/s.")
    if not benchmark:
        return "\n".join(lines + ["", "No device was measured.", ""])
    lines += [f"Copy bandwidth: {benchmark['copy_bytes_per_s'] / 1e9:.0f} GB/s.", "",
              "| kernel | µs | GB/s | of copy | TFLOP/s | of peak |",
              "| --- | --- | --- | --- | --- | --- |"]
    for kernel in benchmark["kernels"]:
        of_peak = kernel["flop_per_s"] / peak["bf16_flop_per_s"] if peak else 0
        lines.append(f"| {kernel['name']} | {kernel['seconds'] * 1e6:.1f} | "
                     f"{kernel['bytes_per_s'] / 1e9:.0f} | {kernel['of_bandwidth']:.2f} | "
                     f"{kernel['flop_per_s'] / 1e12:.1f} | {of_peak:.2f} |")
    return "\n".join(lines + [""])


def main(directory):
    results = collect(directory)
    (directory / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (directory / "results.md").write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
