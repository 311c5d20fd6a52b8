"""The dashboard Process: CPU, memory, descriptors, and GPUs of the machines."""

from panels import (MODEL, NAMESPACE, Row, dashboard as make_dashboard, graph, stat, states, table,
                    target, thresholds, variable)

COMPONENTS = "coordinator|attention-worker|expert-worker"
# Other programs export process metrics too: only targets with one of our components are ours.
CHOSEN = ('namespace=~"$namespace", model=~"$model", component=~"$component", '
          'shard=~"$shard"')
PROCESS = "{{component}} {{pod}} {{instance}}"
GPU = "{{Hostname}} GPU {{gpu}}"


def each(metric):
    return f"{metric}{{{CHOSEN}}}"


def _now():
    return Row("Now", [
        stat("Processes", "Targets that Prometheus scrapes with success.", "none",
             f"sum ({each('up')})", width=4),
        stat("Down", "Targets that cannot be scraped.", "none", f"count ({each('up')} == 0) or vector(0)",
             thresholds("green", (1, "red")), width=4),
        stat("CPU", "Cores in use, of all processes.", "none",
             f"sum (rate({each('process_cpu_seconds_total')}[$__rate_interval]))", width=4,
             decimals=2),
        stat("Resident memory", "Of all processes; weights that several map on one machine count in "
             "each.", "bytes", f"sum ({each('process_resident_memory_bytes')})", width=4),
        stat("Youngest process", "Time since the last start of any process.", "s",
             f"time() - max ({each('process_start_time_seconds')})", width=4),
        stat("Certificates", "Until the first certificate in use expires. Empty without TLS.", "s",
             "min (tramontane_tls_certificate_expiry_timestamp_seconds"
             f"{{{CHOSEN}}}) - time()",
             thresholds("red", (604800, "green")), width=4),
    ])


def _processes():
    return Row("Processes", [
        graph("CPU", "Cores that each process uses.", "none",
              [target(f"rate({each('process_cpu_seconds_total')}[$__rate_interval])", PROCESS)],
              width=12),
        graph("Resident memory", "Pages of the process that are in memory, mapped weights included.",
              "bytes", [target(each("process_resident_memory_bytes"), PROCESS)], width=12),
        graph("Virtual memory", "Address space: weights are mapped as a whole, used or not.",
              "bytes", [target(each("process_virtual_memory_bytes"), PROCESS)]),
        graph("File descriptors", "Share of the limit that is in use. The line is where "
              "TramontaneFileDescriptorsLow begins.", "percentunit",
              [target(f"{each('process_open_fds')} / {each('process_max_fds')}", PROCESS)],
              thresholds("green", (0.8, "red"))),
        graph("Threads", "Threads of each process.", "none",
              [target(each("process_threads"), PROCESS)]),
        states("Scrapes", "Whether Prometheus reaches each process.", each("up"), PROCESS,
               ((0, "down", "red"), (1, "up", "green"))),
        table("Versions", "One row for each coordinator and attention worker: its version.",
              "none", 'tramontane_build_info{namespace=~"$namespace", model=~"$model"}',
              hidden=("Value", "job", "container", "endpoint")),
        graph("Starts", "How often each process started anew in the last 30 minutes. The line is "
              "where TramontaneProcessRestarts begins.", "none",
              [target(f"changes({each('process_start_time_seconds')}[30m])", PROCESS)],
              thresholds("green", (3, "red"))),
        graph("Age", "Time since each process started.", "s",
              [target(f"time() - {each('process_start_time_seconds')}", PROCESS)]),
        states("Loading", "Whether each process still loads what it is to serve.",
               each("tramontane_loading"), PROCESS,
               ((0, "loaded", "green"), (1, "loading", "yellow"))),
    ])


def _gpus():
    note = " From NVIDIA's dcgm-exporter; empty without it."
    return Row("GPU, from NVIDIA's dcgm-exporter (all GPUs that it reports)", [
        graph("Utilization", "Share of the time in which any kernel ran." + note, "percent",
              [target("DCGM_FI_DEV_GPU_UTIL", GPU)], high=100),
        graph("Memory in use", "Of the GPU's memory." + note, "mbytes",
              [target("DCGM_FI_DEV_FB_USED", GPU)]),
        graph("Memory free", "Of the GPU's memory." + note, "mbytes",
              [target("DCGM_FI_DEV_FB_FREE", GPU)]),
        graph("Power", "What the GPU draws." + note, "watt",
              [target("DCGM_FI_DEV_POWER_USAGE", GPU)]),
        graph("Temperature", "Of the GPU's core." + note, "celsius",
              [target("DCGM_FI_DEV_GPU_TEMP", GPU)]),
        graph("Xid errors", "The last error code of each GPU; 0 is none." + note, "none",
              [target("DCGM_FI_DEV_XID_ERRORS", GPU)], thresholds("green", (1, "red"))),
    ])


def dashboard():
    component = variable(
        "component", "Component",
        f'label_values(up{{namespace=~"$namespace", model=~"$model", component=~"{COMPONENTS}"}}, '
        "component)", "Kinds of processes.")
    component["allValue"] = COMPONENTS
    shard = variable(
        "shard", "Shard",
        'label_values(up{namespace=~"$namespace", model=~"$model", component=~"$component"}, shard)',
        "Of expert workers: those that host the same experts.")
    return make_dashboard(
        "tramontane-process", "Tramontane / Process",
        "CPU, memory, descriptors and age of every process; GPUs where dcgm-exporter runs.",
        [NAMESPACE, MODEL, component, shard], [_now(), _processes(), _gpus()])
