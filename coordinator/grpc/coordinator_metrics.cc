#include "coordinator/grpc/coordinator_metrics.h"

#include <string>
#include <utility>

#include "attention_worker/grpc/metric_families.h"

namespace tramontane {
namespace {

constexpr int kNumStatusCodes = 17;  // OK … UNAUTHENTICATED

std::string StatusName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(std::shared_ptr<prometheus::Registry> registry)
    : registry_(std::move(registry)),
      attention_workers_(*registry_, "tramontane_attention_worker_up",
                         "1 where the attention worker is connected and accepted, else 0.") {
  auto& requests = prometheus::BuildCounter()
                       .Name("tramontane_requests_total")
                       .Help("Generate calls answered, by status code.")
                       .Register(*registry_);
  for (int code = 0; code < kNumStatusCodes; ++code) {
    requests_.push_back(
        &requests.Add({{"status", StatusName(static_cast<absl::StatusCode>(code))}}));
  }
  auto& refused = prometheus::BuildCounter()
                      .Name("tramontane_refused_requests_total")
                      .Help("Requests that were not run because of overload, by reason.")
                      .Register(*registry_);
  for (const char* reason :
       {"queue_full", "wait_too_long", "displaced", "unread_streams", "queue_timeout"}) {
    refused_.push_back(&refused.Add({{"reason", reason}}));
  }
  estimated_wait_ = AddGauge(*registry_, "tramontane_estimated_wait_seconds",
                             "What a request of priority 0 that comes now would wait to run.");
  time_to_first_token_ =
      AddHistogram(*registry_, "tramontane_time_to_first_token_seconds",
                   "From a request's arrival to its first new token.", LatencyBuckets());
  inter_token_latency_ = AddHistogram(*registry_, "tramontane_inter_token_latency_seconds",
                                      "Between two new tokens of a request.", LatencyBuckets());
  request_latency_ = AddHistogram(*registry_, "tramontane_e2e_request_latency_seconds",
                                  "From a request's arrival to its end.", LatencyBuckets());
  queue_time_ = AddHistogram(*registry_, "tramontane_request_queue_time_seconds",
                             "From a request's arrival to its first step.", LatencyBuckets());
  num_running_ =
      AddGauge(*registry_, "tramontane_num_requests_running", "Requests that hold KV blocks.");
  num_waiting_ =
      AddGauge(*registry_, "tramontane_num_requests_waiting", "Requests that wait to run.");
  kv_cache_usage_ = AddGauge(*registry_, "tramontane_kv_cache_usage_ratio",
                             "Share of the KV blocks that requests hold; the others may still "
                             "serve prefix hits.");
  prefix_queries_ = AddCounter(*registry_, "tramontane_prefix_cache_queries_total",
                               "Tokens of requests that attention workers have taken.");
  prefix_hits_ = AddCounter(*registry_, "tramontane_prefix_cache_hits_total",
                            "Of these, tokens that were in the prefix cache.");
  preemptions_ = AddCounter(*registry_, "tramontane_preemptions_total",
                            "Requests that gave their KV blocks back for an earlier one, to run "
                            "again later.");
  requeued_ = AddCounter(*registry_, "tramontane_requeued_requests_total",
                         "Requests that wait again because their attention worker was lost.");
  prompt_tokens_ = AddCounter(*registry_, "tramontane_prompt_tokens_total",
                              "Prompt tokens that went through the model.");
  generation_tokens_ =
      AddCounter(*registry_, "tramontane_generation_tokens_total", "New tokens made.");
}

void CoordinatorMetrics::CountRequest(absl::StatusCode code) {
  const int index = static_cast<int>(code);
  requests_[static_cast<size_t>(index < kNumStatusCodes ? index : 2)]->Increment();
}

void CoordinatorMetrics::OnRefused(Refusal reason) {
  refused_[static_cast<size_t>(reason)]->Increment();
}

void CoordinatorMetrics::OnEstimatedWait(absl::Duration wait) {
  estimated_wait_->Set(absl::ToDoubleSeconds(wait));
}

void CoordinatorMetrics::OnStarted(absl::Duration queue) {
  queue_time_->Observe(absl::ToDoubleSeconds(queue));
}

void CoordinatorMetrics::OnAdmitted(int64_t num_tokens, int64_t cached_tokens) {
  prefix_queries_->Increment(static_cast<double>(num_tokens));
  prefix_hits_->Increment(static_cast<double>(cached_tokens));
}

void CoordinatorMetrics::OnPreempted() { preemptions_->Increment(); }

void CoordinatorMetrics::OnRequeued() { requeued_->Increment(); }

void CoordinatorMetrics::OnStepTokens(int64_t prompt_tokens, int64_t new_tokens) {
  prompt_tokens_->Increment(static_cast<double>(prompt_tokens));
  generation_tokens_->Increment(static_cast<double>(new_tokens));
}

void CoordinatorMetrics::OnFirstToken(absl::Duration since_arrival) {
  time_to_first_token_->Observe(absl::ToDoubleSeconds(since_arrival));
}

void CoordinatorMetrics::OnNextToken(absl::Duration since_the_one_before) {
  inter_token_latency_->Observe(absl::ToDoubleSeconds(since_the_one_before));
}

void CoordinatorMetrics::OnEnded(const absl::Status& /*status*/, absl::Duration since_arrival) {
  request_latency_->Observe(absl::ToDoubleSeconds(since_arrival));
}

void CoordinatorMetrics::OnRound(int64_t num_running, int64_t num_waiting,
                                 const KvCacheUsage& usage) {
  num_running_->Set(static_cast<double>(num_running));
  num_waiting_->Set(static_cast<double>(num_waiting));
  if (usage.num_blocks == 0) return;
  kv_cache_usage_->Set(static_cast<double>(usage.num_blocks - usage.num_free_blocks) /
                       static_cast<double>(usage.num_blocks));
}

}  // namespace tramontane
