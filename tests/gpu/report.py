"""report.py DIR: what run.sh left in DIR as results.json and, for reading, results.md."""

import json
import pathlib
import sys

from work import read_json


def collect(directory):
    """Everything that was measured; what was left out is absent."""
    steps = [dict(zip(("name", "result", "seconds"), line.split("\t")))
             for line in (directory / "steps.tsv").read_text(encoding="utf-8").splitlines()]
    tests = read_json(directory / "tests.json")
    skipped = sum(case.get("result") == "SKIPPED" for suite in tests.get("testsuites", ())
                  for case in suite["testsuite"])
    return {
        "steps": steps,
        "tests": {"run": tests.get("tests", 0) - skipped, "skipped": skipped,
                  "failed": tests.get("failures", 0)},
        "peak": read_json(directory / "peak.json"),
        "benchmark": read_json(directory / "benchmark.json"),
        "speed": read_json(directory / "speed.json"),
        "peer": read_json(directory / "peer.json"),
    }


def _speed_lines(speed, peer):
    """Whole requests beside their bounds, their targets and the peer. What failed or was left out has a line."""
    if not speed and not peer:
        return []
    lines = ["", "## Whole requests", ""]
    if "layers" in speed:
        lines.append(f"Mixtral with {speed['layers']} of {speed['layers_of_model']} layers, "
                     f"{speed['weight_bytes'] / 1e9:.1f} GB of bf16; on the host {speed['distinct_layers']} layers, "
                     f"{speed['written_bytes'] / 1e9:.1f} GB, written in {speed['write_s']:.0f} s.")
    peers = {(figure["kind"], figure["batch"]): figure["tokens_per_s"] for figure in peer.get("figures", ())}
    if peer:
        lines.append(f"Peer: {peer['library']}, {peer['layers']} layers, attention {peer.get('attention')}, "
                     f"experts {peer.get('experts')}, dynamic cache.")
    lines += ["", "| experts | work | tok/s | bound | fraction | target | peer tok/s | over peer |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    shown = set()
    for part, measured in speed.get("parts", {}).items():
        for figure in measured["figures"]:
            shown.add((figure["kind"], figure["batch"]))
            rate, of_peer = figure["tokens_per_s"], peers.get((figure["kind"], figure["batch"]))
            work = (f"prefill, {figure['prompt_tokens']} tokens" if figure["kind"] == "prefill"
                    else f"decode, batch {figure['batch']}, {figure['touched_experts'] or 0:.2f} experts a layer")
            lines.append(f"| {part} | {work} | {rate:.1f} | {_number(figure['bound_tokens_per_s'], 1)} | "
                         f"{_number(figure['fraction'])} | {_number(figure['target'])} | {_number(of_peer, 1)} | "
                         f"{_number(rate / of_peer if of_peer else None)} |")
    lines += [f"| peer alone | {kind}, batch {batch} | | | | | {rate:.1f} | |"
              for (kind, batch), rate in peers.items() if (kind, batch) not in shown]
    lines.append("")
    for part, measured in speed.get("parts", {}).items():
        if "load_s" in measured:
            speed_of_load = measured["load_bytes_per_s"] / 1e9
            lines.append(f"- {part}: loaded in {measured['load_s']:.1f} s, {speed_of_load:.2f} GB/s.")
        if "hop_spin_us" in measured:
            lines.append(f"- {part}: --hop_spin_us={measured['hop_spin_us']}.")
        lines += [f"- {part}: FAILED: {error.splitlines()[0]}" for error in measured.get("errors", ()) if error]
        lines += [f"- {part}: left out: no time for {what}." for what in measured.get("left_out", ())]
    return lines + [f"- peer: FAILED: {error.splitlines()[0]}" for error in peer.get("errors", ()) if error]


def _number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def page(results):
    """The results as Markdown."""
    peak, benchmark, tests = results["peak"], results["benchmark"], results["tests"]
    lines = ["# Kernels and servers with CUDA", "", "| step | result | seconds |", "| --- | --- | --- |"]
    lines += [f"| {s['name']} | {s['result']} | {s['seconds']} |" for s in results["steps"]]
    lines += ["", f"Tests of kernels: {tests['run']} run, {tests['failed']} failed, {tests['skipped']} skipped."]
    if peak:
        lines.append(f"{peak['device']}: bf16 products at {peak['bf16_flop_per_s'] / 1e12:.0f} TFLOP/s.")
    lines += _speed_lines(results["speed"], results["peer"])
    if not benchmark:
        return "\n".join(lines + ["", "No kernels were measured.", ""])
    lines += ["", f"Copy bandwidth: {benchmark['copy_bytes_per_s'] / 1e9:.0f} GB/s.", "",
              "| kernel | µs | GB/s | of copy | TFLOP/s | of peak |",
              "| --- | --- | --- | --- | --- | --- |"]
    for kernel in benchmark.get("kernels", ()):
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
