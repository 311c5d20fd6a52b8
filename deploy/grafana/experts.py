"""The dashboard Experts: where the tokens go, who computes them, and what the hop costs."""

from panels import (MODEL, NAMESPACE, Row, bars, dashboard as make_dashboard, graph, matrix,
                    series_heatmap, stat, states, target, thresholds, variable)

CHOSEN = 'namespace=~"$namespace", model=~"$model"'
# Of what attention sees, the layers that are chosen; of expert workers, the shards too.
LAYERS = CHOSEN + ', layer=~"$layer"'
SHARDS = CHOSEN + ', shard=~"$shard"'
WORKER = "{{shard}} {{pod}} {{instance}}"
# Even is 1: green up to half as much again, red where TramontaneExpertHot begins.
LOAD = thresholds("blue", (0.5, "green"), (1.5, "yellow"), (2, "orange"), (3, "red"))


def rate(metric, by="", matchers=CHOSEN):
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{matchers}}}[$__rate_interval]))"


def over_range(by):
    """(Token, choice) pairs of the dashboard's whole range."""
    return f"sum by ({by}) (rate(tramontane_expert_tokens_total{{{LAYERS}}}[$__range]))"


def load(pairs, by):
    """Pairs of each expert over the mean of its layer; `pairs` keeps layer and expert."""
    return f"{pairs} / on ({by}) group_left () avg by ({by}) ({pairs})"


def quantile(q, histogram, by="le", matchers=CHOSEN):
    return f"histogram_quantile({q}, {rate(histogram + '_bucket', by, matchers)})"


def mean(histogram, by="", matchers=CHOSEN):
    return (f"{rate(histogram + '_sum', by, matchers)} / "
            f"{rate(histogram + '_count', by, matchers)}")


PAIRS = rate("tramontane_expert_tokens_total", "layer, expert", LAYERS)
PER_WORKER = "shard, pod, instance"


def _now():
    return Row("Now", [
        stat("Fewest replicas", "Of all experts, the one that has the fewest workers. At 1 the next "
             "failure makes requests wait.", "none",
             f"min (tramontane_expert_replicas{{{CHOSEN}}})",
             thresholds("red", (1, "orange"), (2, "green"))),
        stat("Experts missing", "(Layer, expert) pairs that no connected worker hosts. Above 0, "
             "requests wait.", "none", f"max (tramontane_experts_missing{{{CHOSEN}}})",
             thresholds("green", (1, "red"))),
        stat("Workers that serve", "Expert workers in service, as the process that sees fewest has "
             "it.", "none", f'min (tramontane_expert_workers{{{CHOSEN}, state="serving"}})',
             thresholds("red", (1, "green"))),
        stat("Set aside", "Expert workers that broke, fell silent or answered wrongly, and have not "
             "passed a probe since.", "none",
             f'max (tramontane_expert_workers{{{CHOSEN}, state="set_aside"}})',
             thresholds("green", (1, "red"))),
        stat("Imbalance", "The busiest expert of a layer over the layer's mean, of the most uneven "
             "layer.", "none", f"max (tramontane_expert_imbalance_ratio{{{LAYERS}}})",
             thresholds("green", (2, "orange"), (3, "red")), decimals=2),
        stat("Hop", "A batch's whole way to an expert worker and back, on average.", "s",
             "sum (" + mean("tramontane_expert_hop_seconds", "phase") + ")"),
        stat("Retries", "Batches a second whose rows were sent again.", "cps",
             f"{rate('tramontane_expert_retries_total')} or vector(0)",
             thresholds("green", (0.1, "red"))),
        stat("Layers that wait", "Layers of running steps that wait for an expert that nobody "
             "hosts.", "none", f"sum (tramontane_expert_waiting{{{CHOSEN}}})",
             thresholds("green", (1, "red"))),
    ])


def _tokens():
    share = (f"{rate('tramontane_expert_tokens_total', 'expert', LAYERS)} / ignoring (expert) "
             f"group_left () {rate('tramontane_expert_tokens_total', '', LAYERS)}")
    even = f"1 / count (count by (expert) (tramontane_expert_replicas{{{LAYERS}}}))"
    return Row("Where the tokens go", [
        matrix("Load, layer by expert", "What each expert got in the dashboard's range over its "
               "layer's mean: 1 is the even share.", "none",
               load(over_range("layer, expert"), "layer"), "layer", "expert", LOAD, height=10),
        series_heatmap("Tokens by expert", "(Token, choice) pairs a second of each expert, over the "
                       "layers chosen.", "cps",
                       rate("tramontane_expert_tokens_total", "expert", LAYERS), "{{expert}}",
                       height=10),
        graph("Share of each expert", "Of all (token, choice) pairs of the layers chosen. The "
              "dashed curve is the even share.", "percentunit",
              [target(share, "expert {{expert}}"), target(even, "even share")], high=1),
        graph("Imbalance by layer", "The busiest expert over the layer's mean: 1 is even. The line "
              "is where TramontaneExpertHot begins.", "none",
              [target("max by (layer) (" + load(PAIRS, "layer") + ")", "layer {{layer}}")],
              thresholds("green", (3, "red")), low=1),
        bars("Hot experts", "The ten experts with the most over their layer's mean, in the "
             "dashboard's range.", "none",
             [target(f"topk(10, {load(over_range('layer, expert'), 'layer')})",
                     "layer {{layer}} expert {{expert}}", instant=True)], LOAD, decimals=2),
        graph("Imbalance, as attention sees it", "Of the last 65,536 pairs or so of each process "
              "that runs attention: it moves while there is traffic.", "none",
              [target(f"max by (layer) (tramontane_expert_imbalance_ratio{{{LAYERS}}})",
                      "layer {{layer}}")], thresholds("green", (3, "red"))),
        series_heatmap("Hottest expert by layer", "Load of each layer's busiest expert over the "
                       "mean.", "none", "max by (layer) (" + load(PAIRS, "layer") + ")",
                       "{{layer}}", width=16),
    ])


def _replicas():
    rows = "tramontane_expert_worker_rows_total"
    seconds = "tramontane_expert_worker_compute_seconds"
    busy = (f"{rate(seconds + '_sum', PER_WORKER, SHARDS)} * "
            f"{rate('tramontane_expert_worker_merged_batches_count', PER_WORKER, SHARDS)} / "
            f"clamp_min({rate(seconds + '_count', PER_WORKER, SHARDS)}, 1e-9)")
    return Row("Load by replica", [
        graph("Rows by replica", "(Row, expert) pairs a second that each expert worker computed.",
              "cps", [target(rate(rows, PER_WORKER, SHARDS), WORKER)], stacked=True),
        graph("Busy", "Share of the time in which a worker computes. At 1 more load only waits. The "
              "line is where TramontaneExpertShardBusy begins.", "percentunit",
              [target(busy, WORKER)], thresholds("green", (0.85, "red"))),
        graph("Compute of a batch", "On average, with those it was computed together with. A "
              "replica far above the others of its shard is slow.", "s",
              [target(mean(seconds, PER_WORKER, SHARDS), WORKER)]),
        graph("Rows by shard and replica", "Rows a second of a shard over its replicas: what one "
              "replica of it does.", "cps",
              [target(f"{rate(rows, 'shard', SHARDS)} / count by (shard) "
                      f"(tramontane_expert_worker_queued_batches{{{SHARDS}}})",
                      "shard {{shard}}")]),
        graph("Batches that wait", "In each worker's queue. The line is where "
              "TramontaneExpertWorkerQueueLong begins.", "none",
              [target(f"sum by ({PER_WORKER}) (tramontane_expert_worker_queued_batches{{{SHARDS}}})",
                      WORKER)], thresholds("green", (32, "red"))),
        graph("Memory of answers", "Of each worker's answers that are computed, or that peers have not "
              "taken. Where it stays high while few batches come, a peer does not read; "
              "--max_answer_mib bounds it.", "bytes",
              [target(f"sum by ({PER_WORKER}) (tramontane_expert_worker_answer_bytes{{{SHARDS}}})",
                      WORKER)]),
        graph("Wait in the queue, p95", "From receipt of a batch to the start of its compute.", "s",
              [target(quantile(0.95, "tramontane_expert_worker_queue_seconds",
                               PER_WORKER + ", le", SHARDS), WORKER)]),
        graph("Batches that share a reading of the weights", "Batches of one layer that are "
              "computed together, on average.", "none",
              [target(mean("tramontane_expert_worker_merged_batches", PER_WORKER, SHARDS),
                      WORKER)], low=1),
        graph("Rows of a computation", "(Row, expert) pairs that are computed together, on average.",
              "none",
              [target(mean("tramontane_expert_worker_merged_rows", PER_WORKER, SHARDS), WORKER)]),
        graph("Batches by answer", "Batches a second by the status code that they were answered "
              "with.", "cps",
              [target(rate("tramontane_expert_worker_batches_total", "code", SHARDS) + " > 0",
                      "{{code}}")], stacked=True),
    ])


def _hop():
    hop = "tramontane_expert_hop_seconds"
    return Row("The hop", [
        graph("Where the time of a hop goes", "Mean of each phase: serialize on both sides, network, "
              "queue and compute in the worker. Together they are the round trip.", "s",
              [target(mean(hop, "phase"), "{{phase}}")], stacked=True),
        graph("Hop by phase, p95", "95th percentile of each phase by itself.", "s",
              [target(quantile(0.95, hop, "phase, le"), "{{phase}}")]),
        graph("Hops", "Batches a second that were answered with rows.", "cps",
              [target(f'sum (rate({hop}_count{{{CHOSEN}, phase="network"}}[$__rate_interval]))',
                      "answered")]),
    ])


def _failures():
    return Row("Retries and failures", [
        graph("Retries", "Batches a second whose rows were sent again, by reason. The line is where "
              "TramontaneExpertRetries begins.", "cps",
              [target(rate("tramontane_expert_retries_total", "reason"), "{{reason}}")],
              thresholds("green", (0.1, "red"))),
        graph("Hops that failed", "Batches a second that were not answered with rows, by worker and "
              "status.", "cps",
              [target(rate("tramontane_expert_hop_failures_total", "worker, status"),
                      "{{worker}} {{status}}")]),
        graph("Hedges and late answers", "Batches a second that a second worker got for the sake of "
              "the tail, and answers that nobody needed any more.", "cps",
              [target(rate("tramontane_expert_hedges_total"), "hedges"),
               target(rate("tramontane_expert_late_answers_total"), "late answers")]),
        graph("Stalls", "What layers took that succeeded in spite of failures.", "s",
              [target(quantile(q, "tramontane_expert_stall_seconds"), legend)
               for q, legend in ((0.5, "p50"), (0.95, "p95"))]),
        graph("Waits for a worker", "How long layers waited for an expert that nobody hosted.", "s",
              [target(quantile(q, "tramontane_expert_wait_seconds"), legend)
               for q, legend in ((0.5, "p50"), (0.95, "p95"))]),
        graph("Set aside and back", "In the last ten minutes: workers that were set aside, failed "
              "probes, and returns to service.", "none",
              [target(f"sum by (worker, status) (increase("
                      f"tramontane_expert_workers_set_aside_total{{{CHOSEN}}}[10m]))",
                      "set aside {{worker}} {{status}}"),
               target(f"sum by (code) (increase("
                      f"tramontane_expert_worker_probe_failures_total{{{CHOSEN}}}[10m]))",
                      "probe failed {{code}}"),
               target(f"sum (increase(tramontane_expert_worker_returns_total{{{CHOSEN}}}[10m]))",
                      "returned")]),
    ])


def _redundancy():
    fewest = f"min by (layer, expert) (tramontane_expert_replicas{{{LAYERS}}})"
    return Row("Redundancy", [
        matrix("Replicas, layer by expert", "Workers that serve the expert now, as the process that "
               "sees fewest has it.", "none", fewest, "layer", "expert",
               thresholds("red", (1, "orange"), (2, "green")), decimals=0, width=8),
        graph("Experts by replicas", "How many (layer, expert) pairs have so many workers.", "none",
              [target(f'count_values("replicas", {fewest})', "{{replicas}} replicas")],
              stacked=True),
        graph("Expert workers by state", "As the process that runs attention knows them; the most "
              "of all such processes.", "none",
              [target(f"max by (state) (tramontane_expert_workers{{{CHOSEN}}})", "{{state}}")]),
        states("Expert workers", "Whether each serves, as any process that runs attention has it.",
               f"min by (worker) (tramontane_expert_worker_up{{{CHOSEN}}})", "{{worker}}",
               ((0, "away", "red"), (1, "serves", "green")), width=24, height=6),
    ])


def dashboard():
    layer = variable(
        "layer", "Layer",
        'label_values(tramontane_expert_tokens_total{namespace=~"$namespace", model=~"$model"}, '
        "layer)", "Decoder layers, for what the router sent where.")
    shard = variable(
        "shard", "Shard",
        'label_values(tramontane_expert_worker_queued_batches{namespace=~"$namespace", '
        'model=~"$model"}, shard)', "Of expert workers: those that host the same experts.")
    return make_dashboard(
        "tramontane-experts", "Tramontane / Experts",
        "Where the tokens go, which workers compute them, what the hop costs, what is redundant.",
        [NAMESPACE, MODEL, layer, shard],
        [_now(), _tokens(), _replicas(), _hop(), _failures(), _redundancy()])
