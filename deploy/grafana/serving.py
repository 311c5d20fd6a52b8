"""The dashboard Serving: what clients feel, and what limits it."""

from panels import (ALERTS, MODEL, NAMESPACE, Row, dashboard as make_dashboard, graph,
                    latency_heatmap, stat, states, table, target, thresholds)

CHOSEN = 'namespace=~"$namespace", model=~"$model"'
# The server's own failures; refusals for overload are RESOURCE_EXHAUSTED and not among them.
FAULTS = 'status=~"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS"'


def rate(metric, by="", more=""):
    """Sum over processes of a counter's rate, by labels."""
    matchers = f"{CHOSEN}, {more}" if more else CHOSEN
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{matchers}}}[$__rate_interval]))"


def total(metric):
    return f"sum ({metric}{{{CHOSEN}}})"


def quantile(q, histogram):
    return f"histogram_quantile({q}, {rate(histogram + '_bucket', 'le')})"


def quantiles(histogram):
    return [target(quantile(q, histogram), legend)
            for q, legend in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))]


def mean(histogram):
    return f"{rate(histogram + '_sum')} / {rate(histogram + '_count')}"


def _now():
    return Row("Now", [
        stat("Requests", "Generate calls answered a second, whatever their status.", "reqps",
             rate("tramontane_requests_total")),
        stat("Failed", "Share of the requests that failed through the server's fault: UNKNOWN, "
             "INTERNAL, UNAVAILABLE or DATA_LOSS.", "percentunit",
             f"{rate('tramontane_requests_total', more=FAULTS)} / "
             f"{rate('tramontane_requests_total')}",
             thresholds("green", (0.001, "orange"), (0.01, "red")), low=0, high=1),
        stat("First token, p95", "From arrival to the first new token, 95th percentile.", "s",
             quantile(0.95, "tramontane_time_to_first_token_seconds"),
             thresholds("green", (2, "orange"), (5, "red"))),
        stat("Between tokens, p95", "Between two new tokens of a request, 95th percentile.", "s",
             quantile(0.95, "tramontane_inter_token_latency_seconds"),
             thresholds("green", (0.2, "orange"), (0.5, "red"))),
        stat("New tokens", "Tokens made a second, of all requests.", "cps",
             rate("tramontane_generation_tokens_total")),
        stat("Waiting", "Requests that wait to run.", "none",
             total("tramontane_num_requests_waiting"),
             thresholds("green", (1, "orange"), (64, "red"))),
        stat("KV cache", "Share of the KV blocks that requests hold, of the fullest system.",
             "percentunit", f"max (tramontane_kv_cache_usage_ratio{{{CHOSEN}}})",
             thresholds("green", (0.85, "orange"), (0.95, "red")), low=0, high=1),
        stat("Alerts", "Alerts that fire. The table at the end of this page names them.", "none",
             f"count ({ALERTS}) or vector(0)", thresholds("green", (1, "red"))),
    ])


def _requests():
    return Row("Requests", [
        graph("Requests by status", "Generate calls answered a second, by status code.", "reqps",
              [target(rate("tramontane_requests_total", "status") + " > 0", "{{status}}")],
              stacked=True),
        graph("Failed, of all", "Share of the requests by status code, the server's faults only. "
              "The line is where TramontaneRequestsFail begins.", "percentunit",
              [target(f"{rate('tramontane_requests_total', 'status', FAULTS)} / ignoring (status) "
                      f"group_left () {rate('tramontane_requests_total')}", "{{status}}")],
              thresholds("green", (0.01, "red")), high=1),
        graph("Refused", "Requests that overload kept from running, by reason: too little capacity, "
              "or clients that do not read.", "reqps",
              [target(rate("tramontane_refused_requests_total", "reason"), "{{reason}}")],
              stacked=True),
        graph("Request, whole", "From arrival to end, whatever the status.", "s",
              quantiles("tramontane_e2e_request_latency_seconds")),
        graph("Tokens", "Prompt tokens that ran, and new tokens, a second.", "cps",
              [target(rate("tramontane_prompt_tokens_total"), "prompt"),
               target(rate("tramontane_generation_tokens_total"), "new")]),
        graph("Refused callers", "Calls refused for who made them or for their token's limits.",
              "reqps", [target(rate("tramontane_auth_failures_total", "reason"), "{{reason}}")]),
    ])


def _latency():
    first, between = "tramontane_time_to_first_token_seconds", "tramontane_inter_token_latency_seconds"
    return Row("Latency", [
        graph("First token", "From arrival to the first new token, waiting included. The line is "
              "where TramontaneFirstTokenSlow begins.", "s", quantiles(first),
              thresholds("green", (5, "red"))),
        graph("Between tokens", "Between two new tokens of a request. The line is where "
              "TramontaneInterTokenSlow begins.", "s", quantiles(between),
              thresholds("green", (0.5, "red"))),
        graph("Waiting for the first step", "From arrival to a request's first step: the queue's "
              "part of the first token.", "s",
              quantiles("tramontane_request_queue_time_seconds")),
        latency_heatmap("First token, spread", "First tokens a second by how long they took.",
                        rate(first + "_bucket", "le"), width=12),
        latency_heatmap("Between tokens, spread", "Tokens a second by the time since the one "
                        "before.", rate(between + "_bucket", "le"), width=12),
    ])


def _queue():
    return Row("Queue and cache", [
        graph("Requests", "Those that run hold KV blocks; the others wait.", "none",
              [target(total("tramontane_num_requests_running"), "running"),
               target(total("tramontane_num_requests_waiting"), "waiting")], stacked=True),
        graph("Estimated wait", "What a request of priority 0 that comes now would wait. Requests "
              "that cannot wait so long are refused.", "s",
              [target(f"max by (namespace, model) (tramontane_estimated_wait_seconds{{{CHOSEN}}})",
                      "{{namespace}} {{model}}")]),
        graph("KV cache", "Share of the blocks that requests hold; the others may still serve "
              "prefix hits.", "percentunit",
              [target(f"max by (namespace, model) (tramontane_kv_cache_usage_ratio{{{CHOSEN}}})",
                      "{{namespace}} {{model}}")], thresholds("green", (0.95, "red")), high=1),
        graph("Prefix hits", "Share of the tokens that attention workers took which were in the "
              "prefix cache and did not run.", "percentunit",
              [target(f"{rate('tramontane_prefix_cache_hits_total')} / "
                      f"{rate('tramontane_prefix_cache_queries_total')}", "hits")], high=1),
        graph("Run again", "Requests that lost their place and are computed again: preempted for "
              "want of KV blocks, or because their attention worker was lost.", "cps",
              [target(rate("tramontane_preemptions_total"), "preempted"),
               target(rate("tramontane_requeued_requests_total"), "worker lost")]),
        states("Attention workers", "Whether each is connected and accepted. Empty where attention "
               "runs in the coordinator.",
               f"min by (worker) (tramontane_attention_worker_up{{{CHOSEN}}})", "{{worker}}",
               ((0, "away", "red"), (1, "connected", "green")), width=8),
    ])


def _steps():
    return Row("Steps and identity", [
        graph("Step", "Wall time of a step through the model.", "s",
              quantiles("tramontane_step_duration_seconds")),
        graph("Rows in a step", "Tokens of a step on average: decode rows and prompt chunks.",
              "none", [target(mean("tramontane_step_tokens"), "rows")]),
        graph("Waiting for experts", "Share of the steps' time that is spent waiting for expert "
              "workers.", "percentunit",
              [target(f"{rate('tramontane_step_expert_wait_seconds_sum')} / "
                      f"{rate('tramontane_step_duration_seconds_sum')}", "waiting")], high=1),
        table("What is served", "One row for each process that answers for a model: name, digest, "
              "weights' format and kernels.", "none", f"tramontane_model_info{{{CHOSEN}}}",
              hidden=("Value", "job", "component", "shard", "container", "endpoint", "model")),
        table("Alerts that fire", "docs/alerts.md says for each what it means and what to do.",
              "none", ALERTS, hidden=("Value", "alertstate")),
    ])


def dashboard():
    return make_dashboard(
        "tramontane-serving", "Tramontane / Serving",
        "What clients feel: requests, failures, latency; and what limits it: queue, KV cache.",
        [NAMESPACE, MODEL], [_now(), _requests(), _latency(), _queue(), _steps()])
