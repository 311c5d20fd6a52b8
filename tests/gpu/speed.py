"""speed.py BIN DEVICE OUT [OPTION…]: how fast whole requests are, beside what the device allows.

Makes a checkpoint of random bf16 weights, starts the programs of the folder BIN on it, with the experts in one process
or as a coordinator with two expert workers over gRPC on the one device, and writes decode and prefill rates to
OUT/speed.json, each as soon as it is measured. Beside each stands its bound: for decode the bytes that a step must
read over the copy bandwidth of OUT/benchmark.json, for prefill the operations over the bf16 products a second of
OUT/peak.json. As many layers of Mixtral 8x7B are used as the device holds; the file says how many.

Exit code 1 where something could not be measured, 3 where only the time for something was lacking.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import bounds
import layered_checkpoint
import servers
import work

_KV_TOKENS = 16384
# So many layers with weights of their own are enough for routing that differs from layer to layer.
_DISTINCT_LAYERS = 4
# Longer than a layer takes: processors have nothing else to do.
_HOP_SPIN_US = 1000
# Loading copies with one thread a process: what it reaches at the least, beside the start of processes.
_LOAD_BYTES_PER_S = 0.75e9
_START_S = 30
_NUM_WARMUP = 2
_RUN_TIMEOUT_S = 60


def _host_bytes(folder):
    """What may be written to `folder`, which may be of the host's memory."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
    return min(available, shutil.disk_usage(folder).free)


class Measurement:
    """What speed.json holds, written whenever it grows."""

    def __init__(self, options):
        self.path = options.out / "speed.json"
        self.results = work.read_json(self.path) or {"parts": {}}
        benchmark, peak = (work.read_json(options.out / name) for name in ("benchmark.json", "peak.json"))
        self._bandwidth = max(known.get("copy_bytes_per_s") or 0 for known in (benchmark, peak)) or None
        self._flop_per_s = peak.get("bf16_flop_per_s")
        self.update(copy_bytes_per_s=self._bandwidth, bf16_flop_per_s=self._flop_per_s)

    def update(self, **values):
        self.results.update(values)
        work.write_json(self.path, self.results)

    def begin(self, part, **values):
        self.results["parts"][part] = {"figures": [], **values}
        self.update()

    def fail(self, part, error):
        print(f"{part}: {error}", flush=True)
        self.results["parts"].setdefault(part, {"figures": []}).setdefault("errors", []).append(str(error)[-500:])
        self.update()

    def leave_out(self, part, what):
        print(f"left out: no time for {part}: {what}", flush=True)
        self.results["parts"][part].setdefault("left_out", []).append(what)
        self.update()

    def add_decode(self, part, sizes, batch, load, touched):
        bound = step_bytes = None
        if touched is not None:
            step_bytes = sizes.decode_bytes(batch, touched, load["context"])
            bound = batch * self._bandwidth / step_bytes if self._bandwidth else None
        figure = bounds.figure(part, "decode", batch, batch * 1e3 / load["itl_ms"], bound)
        self._add(part, {**figure, "step_bytes": step_bytes, "touched_experts": touched, **load})

    def add_prefill(self, part, sizes, num_tokens, ttft_ms):
        flop = sizes.prefill_flop(num_tokens)
        bound = num_tokens * self._flop_per_s / flop if self._flop_per_s else None
        figure = bounds.figure(part, "prefill", 1, num_tokens * 1e3 / statistics.median(ttft_ms), bound)
        self._add(part, {**figure, "prompt_tokens": num_tokens, "flop": flop, "ttft_ms": ttft_ms})

    def _add(self, part, figure):
        print(json.dumps(figure), flush=True)
        self.results["parts"][part]["figures"].append(figure)
        self.update()


class Load:
    """load_client at a server's address. TimeoutError or TimeoutExpired once time is over, ChildProcessError where
    requests fail."""

    def __init__(self, options, started):
        self._options, self._started, self._seed = options, started, 1

    def _client(self, batch, prompt_tokens, output_tokens):
        """The client's report of `batch` requests at once."""
        left = self._options.deadline - time.monotonic()
        if left < 1:
            raise TimeoutError("no time left")
        self._seed += 1  # else the prompts are in the prefix cache
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            done = subprocess.run(
                [self._options.programs / "load_client", f"--target={self._started.address}",
                 f"--concurrency={batch}", f"--num_requests={batch}", f"--prompt_tokens=constant:{prompt_tokens}",
                 f"--output_tokens=constant:{output_tokens}", "--temperature=0", f"--seed={self._seed}",
                 f"--json_out={report.name}", "--noprogress"], check=False, timeout=min(left, _RUN_TIMEOUT_S),
                capture_output=True, text=True)
            if done.returncode != 0:
                raise ChildProcessError(f"load_client: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
            point = json.loads(pathlib.Path(report.name).read_text(encoding="utf-8"))["points"][0]
        if point["requests"]["ok"] != batch:
            raise ChildProcessError(f"of {batch} requests {point['requests']['ok']} succeeded: {point['errors']}")
        return point

    def await_ready(self):
        """Returns once a request has been answered."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self._client(1, 4, 2)
                return
            except ChildProcessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def decode(self, batch):
        """The median of some runs, and the expert tokens before and after them."""
        options = self._options
        # The first run with so many sequences allocates, and loads kernels.
        self._client(batch, options.prompt_tokens, _NUM_WARMUP + 2)
        before = self._expert_tokens()
        runs = [self._client(batch, options.prompt_tokens, options.decode_tokens)["latency_ms"]["itl"]
                for _ in range(options.repeats)]
        # A reader that lags behind gets two tokens at once, 0 ms apart: then the mean.
        itl = statistics.median(run["p50"] or run["mean"] for run in runs)
        load = {"itl_ms": itl, "itl_mean_ms": [run["mean"] for run in runs],
                "context": options.prompt_tokens + options.decode_tokens / 2}
        return load, before, self._expert_tokens()

    def prefill(self, num_tokens):
        runs = [self._client(1, num_tokens, 1)["latency_ms"]["ttft"]["p50"]
                for _ in range(_NUM_WARMUP + self._options.repeats)]
        return runs[_NUM_WARMUP:]

    def _expert_tokens(self):
        with urllib.request.urlopen(f"http://{self._started.metrics}/metrics", timeout=10) as answer:
            return bounds.expert_tokens(answer.read().decode())


def _measure(options, measurement, part, model, preload):
    """A part: its servers, then each figure; a figure's failure leaves the others."""
    in_process, on_files, graphs = part.startswith("one_process"), "_unix" in part, part.endswith("_graphs")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    sizes = bounds.Sizes.of(config)
    logs = options.out / f"{part}_logs"
    logs.mkdir(exist_ok=True)
    flags = [f"--device={options.device}", "--compute=bf16", *(["--cuda_graphs"] if graphs else []),
             *([] if in_process else [f"--hop_spin_us={options.hop_spin_us}"])]
    limit = min(_START_S + sizes.weight_bytes / _LOAD_BYTES_PER_S, options.deadline - time.monotonic())
    measurement.begin(part, load_limit_s=limit, **({} if in_process else {"hop_spin_us": options.hop_spin_us}))
    begun = time.monotonic()
    with servers.Servers(
            options.programs, model, flags, in_process, unix_sockets=on_files, logs=logs, start_timeout_s=limit,
            environment={"LD_PRELOAD": str(preload)} if preload else None,
            coordinator_flags=[f"--max_step_tokens={options.prefill_tokens}",
                               f"--kv_cache_tokens={_KV_TOKENS}"]) as started:
        load = Load(options, started)
        load.await_ready()
        seconds = time.monotonic() - begun
        print(f"{part}: loaded {sizes.weight_bytes / 1e9:.1f} GB in {seconds:.1f} s", flush=True)
        measurement.results["parts"][part].update(load_s=seconds, load_bytes_per_s=sizes.weight_bytes / seconds)
        measurement.update()
        batches = [batch for batch in options.batches if in_process or batch <= 8]
        for kind, number in work.in_order(batches, [options.prefill_tokens] if in_process else []):
            try:
                if kind == "decode":
                    decoded, before, after = load.decode(number)
                    touched = bounds.touched_experts(before, after, number, sizes.top_k)
                    measurement.add_decode(part, sizes, number, decoded, touched)
                else:
                    measurement.add_prefill(part, sizes, number, load.prefill(number))
            except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
                if time.monotonic() + 1 > options.deadline:
                    measurement.leave_out(part, f"{kind} {number}")
                else:
                    measurement.fail(part, f"{kind} {number}: {error}")


def _write_checkpoint(options, measurement, folder):
    """(the checkpoint's folder, the library to preload or None)."""
    config = work.fitting_config(options)
    if config["num_hidden_layers"] < 1:
        raise OSError(f"expected a device with room for a layer, found {work.device_bytes()} bytes free")
    sizes = bounds.Sizes.of(config)
    preload = layered_checkpoint.build_preload(folder)
    # Half of what there is; the rest is for loading.
    held = int((_host_bytes(folder) / 2 - sizes.end_bytes) // sizes.layer_bytes)
    distinct = max(1, min(sizes.num_layers, held, options.distinct_layers))
    if preload is None:
        distinct = max(1, min(sizes.num_layers, held))
        config["num_hidden_layers"] = distinct
        sizes = bounds.Sizes.of(config)
    written, seconds = layered_checkpoint.write(options.programs / "synthetic_checkpoint", config, folder / "model",
                                                distinct)
    print(f"{sizes.num_layers} layers, {distinct} written: {written / 1e9:.1f} GB in {seconds:.1f} s", flush=True)
    measurement.results["parts"].pop("checkpoint", None)  # what failed before
    measurement.update(layers=sizes.num_layers, layers_of_model=options.config["num_hidden_layers"],
                       distinct_layers=distinct, weight_bytes=sizes.weight_bytes, written_bytes=written,
                       write_s=seconds)
    return folder / "model", preload


def _options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=lambda text: pathlib.Path(text).resolve(), metavar="BIN")
    parser.add_argument("device", metavar="DEVICE")
    work.add_options(parser, decode_tokens=128)
    parser.add_argument("--parts", default="one_process,grpc",
                        help="of one_process, grpc, grpc_unix (over Unix sockets), and the same with CUDA graphs: "
                             "one_process_graphs, grpc_graphs, grpc_unix_graphs")
    parser.add_argument("--hop_spin_us", type=int, default=_HOP_SPIN_US,
                        help="over gRPC: how long threads that wait for a message of the hop stay awake")
    parser.add_argument("--distinct_layers", type=int, default=_DISTINCT_LAYERS)
    parser.add_argument("--memory", default="/dev/shm", help="folder that the checkpoint is written to")
    parser.add_argument("--time_s", type=float, default=600, help="for all of it")
    options = parser.parse_args(arguments)
    options.deadline = time.monotonic() + options.time_s
    return options


def main(arguments):
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    # So that servers and files do not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    measurement = Measurement(options)
    memory = options.memory
    if not os.access(memory, os.W_OK) or _host_bytes(memory) < 2 * bounds.Sizes.of(options.config).layer_bytes:
        memory = options.out  # a disk, whose pages are in memory once they are written
    with tempfile.TemporaryDirectory(prefix="tramontane_speed_", dir=memory) as folder:
        try:
            model, preload = _write_checkpoint(options, measurement, pathlib.Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            measurement.fail("checkpoint", error)
            return 1
        for part in options.parts.split(","):
            try:
                _measure(options, measurement, part, model, preload)
            except (OSError, subprocess.SubprocessError) as error:
                measurement.fail(part, error)
    parts = [measurement.results["parts"].get(part, {}) for part in options.parts.split(",")]
    if any("errors" in part for part in parts):
        return 1
    return 3 if any("left_out" in part for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
