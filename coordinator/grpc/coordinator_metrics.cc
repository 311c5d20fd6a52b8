#include "coordinator/grpc/coordinator_metrics.h"

#include <utility>

namespace tramontane {
namespace {

constexpr int kNumStatusCodes = 17;  // OK … UNAUTHENTICATED

using Buckets = prometheus::Histogram::BucketBoundaries;

// From a millisecond, a token of a small model, to minutes, a long generation of a large one.
Buckets LatencyBuckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250};
}

// From 10 µs, a hop's share at batch 1, to 10 s.
Buckets HopBuckets() {
  return {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
}

Buckets TokenBuckets() { return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}; }

std::string StatusName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(std::shared_ptr<prometheus::Registry> registry,
                                       const ServedModel& model, std::string_view version)
    : registry_(std::move(registry)), num_experts_(model.config.num_experts) {
  AddRequestMetrics();
  AddExpertMetrics(model.config);
  AddStepMetrics();
  AddIdentity(model, version);
}

prometheus::Histogram* CoordinatorMetrics::AddHistogram(const std::string& name,
                                                        const std::string& help,
                                                        const Buckets& buckets) {
  return &prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_).Add({}, buckets);
}

prometheus::Gauge* CoordinatorMetrics::AddGauge(const std::string& name, const std::string& help) {
  return &prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add({});
}

prometheus::Counter* CoordinatorMetrics::AddCounter(const std::string& name,
                                                    const std::string& help) {
  return &prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add({});
}

void CoordinatorMetrics::AddRequestMetrics() {
  auto& requests = prometheus::BuildCounter()
                       .Name("tramontane_requests_total")
                       .Help("Generate calls answered, by status code.")
                       .Register(*registry_);
  for (int code = 0; code < kNumStatusCodes; ++code) {
    requests_.push_back(
        &requests.Add({{"status", StatusName(static_cast<absl::StatusCode>(code))}}));
  }
  time_to_first_token_ =
      AddHistogram("tramontane_time_to_first_token_seconds",
                   "From a request's arrival to its first new token.", LatencyBuckets());
  inter_token_latency_ = AddHistogram("tramontane_inter_token_latency_seconds",
                                      "Between two new tokens of a request.", LatencyBuckets());
  request_latency_ = AddHistogram("tramontane_e2e_request_latency_seconds",
                                  "From a request's arrival to its end.", LatencyBuckets());
  queue_time_ = AddHistogram("tramontane_request_queue_time_seconds",
                             "From a request's arrival to its first step.", LatencyBuckets());
  num_running_ = AddGauge("tramontane_num_requests_running", "Requests that hold KV blocks.");
  num_waiting_ = AddGauge("tramontane_num_requests_waiting", "Requests that wait to run.");
  kv_cache_usage_ = AddGauge("tramontane_kv_cache_usage_ratio",
                             "Share of the KV blocks that requests hold; the others may still "
                             "serve prefix hits.");
  prefix_queries_ = AddCounter("tramontane_prefix_cache_queries_total",
                               "Tokens of requests that attention workers have taken.");
  prefix_hits_ = AddCounter("tramontane_prefix_cache_hits_total",
                            "Of these, tokens that were in the prefix cache.");
  preemptions_ = AddCounter("tramontane_preemptions_total",
                            "Requests that gave their KV blocks back for an earlier one, to run "
                            "again later.");
  prompt_tokens_ =
      AddCounter("tramontane_prompt_tokens_total", "Prompt tokens that went through the model.");
  generation_tokens_ = AddCounter("tramontane_generation_tokens_total", "New tokens made.");
}

void CoordinatorMetrics::AddExpertMetrics(const MixtralConfig& config) {
  auto& tokens = prometheus::BuildCounter()
                     .Name("tramontane_expert_tokens_total")
                     .Help("(Token, choice) pairs that the router sent to an expert.")
                     .Register(*registry_);
  auto& imbalance = prometheus::BuildGauge()
                        .Name("tramontane_expert_imbalance_ratio")
                        .Help("Tokens of a layer's busiest expert over the mean, of late.")
                        .Register(*registry_);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string name = std::to_string(layer);
    imbalance_.push_back(&imbalance.Add({{"layer", name}}));
    loads_.emplace_back(config.num_experts);
    for (int expert = 0; expert < config.num_experts; ++expert) {
      expert_tokens_.push_back(&tokens.Add({{"layer", name}, {"expert", std::to_string(expert)}}));
    }
  }
  auto& hop = prometheus::BuildHistogram()
                  .Name("tramontane_expert_hop_seconds")
                  .Help("Time of a batch's way to an expert worker and back, by phase.")
                  .Register(*registry_);
  hop_serialize_ = &hop.Add({{"phase", "serialize"}}, HopBuckets());
  hop_network_ = &hop.Add({{"phase", "network"}}, HopBuckets());
  hop_queue_ = &hop.Add({{"phase", "queue"}}, HopBuckets());
  hop_compute_ = &hop.Add({{"phase", "compute"}}, HopBuckets());
  hop_failures_ = &prometheus::BuildCounter()
                       .Name("tramontane_expert_hop_failures_total")
                       .Help("Batches that an expert worker did not answer with rows.")
                       .Register(*registry_);
  worker_up_family_ = &prometheus::BuildGauge()
                           .Name("tramontane_expert_worker_up")
                           .Help("1 where the expert worker is connected and accepted, else 0.")
                           .Register(*registry_);
  missing_experts_ = AddGauge("tramontane_experts_missing",
                              "(Layer, expert) pairs that no connected worker hosts.");
}

void CoordinatorMetrics::AddStepMetrics() {
  step_seconds_ =
      AddHistogram("tramontane_step_duration_seconds", "Wall time of a step.", LatencyBuckets());
  step_expert_wait_ = AddHistogram("tramontane_step_expert_wait_seconds",
                                   "Share of a step spent waiting for experts.", LatencyBuckets());
  step_tokens_ = AddHistogram("tramontane_step_tokens", "Rows of a step.", TokenBuckets());
}

void CoordinatorMetrics::AddIdentity(const ServedModel& model, std::string_view version) {
  prometheus::BuildGauge()
      .Name("tramontane_build_info")
      .Help("1; the labels tell the version.")
      .Register(*registry_)
      .Add({{"version", std::string(version)}})
      .Set(1);
  prometheus::BuildGauge()
      .Name("tramontane_model_info")
      .Help("1; the labels tell what is served.")
      .Register(*registry_)
      .Add({{"name", model.name},
            {"digest", model.digest},
            {"compute", model.compute_dtype},
            {"backend", model.backend}})
      .Set(1);
}

void CoordinatorMetrics::CountRequest(absl::StatusCode code) {
  const int index = static_cast<int>(code);
  requests_[static_cast<size_t>(index < kNumStatusCodes ? index : 2)]->Increment();
}

void CoordinatorMetrics::SetWorkerUp(const std::string& worker, bool up) {
  const std::lock_guard<std::mutex> lock(mutex_);
  prometheus::Gauge*& gauge = worker_up_[worker];
  if (gauge == nullptr) gauge = &worker_up_family_->Add({{"worker", worker}});
  gauge->Set(up ? 1 : 0);
}

void CoordinatorMetrics::RemoveWorker(const std::string& worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = worker_up_.find(worker);
  if (found == worker_up_.end()) return;
  worker_up_family_->Remove(found->second);
  worker_up_.erase(found);
}

void CoordinatorMetrics::SetMissingExperts(int64_t num_missing) {
  missing_experts_->Set(static_cast<double>(num_missing));
}

void CoordinatorMetrics::OnRouted(int layer, std::span<const int64_t> tokens_per_expert) {
  const size_t first = static_cast<size_t>(layer) * static_cast<size_t>(num_experts_);
  for (size_t expert = 0; expert < tokens_per_expert.size(); ++expert) {
    const int64_t tokens = tokens_per_expert[expert];
    if (tokens > 0) expert_tokens_[first + expert]->Increment(static_cast<double>(tokens));
  }
  ExpertLoad& load = loads_[static_cast<size_t>(layer)];
  load.Add(tokens_per_expert);
  imbalance_[static_cast<size_t>(layer)]->Set(load.Imbalance());
}

void CoordinatorMetrics::OnHop(std::string_view worker_address, int /*layer*/,
                               const absl::Status& status, const HopTiming& timing) {
  if (!status.ok()) {
    hop_failures_
        ->Add({{"worker", std::string(worker_address)}, {"status", StatusName(status.code())}})
        .Increment();
    return;
  }
  hop_serialize_->Observe(absl::ToDoubleSeconds(timing.serialize));
  hop_network_->Observe(absl::ToDoubleSeconds(timing.network));
  hop_queue_->Observe(absl::ToDoubleSeconds(timing.queue));
  hop_compute_->Observe(absl::ToDoubleSeconds(timing.compute));
}

void CoordinatorMetrics::OnStep(int64_t num_rows, absl::Duration total,
                                absl::Duration expert_wait) {
  step_seconds_->Observe(absl::ToDoubleSeconds(total));
  step_expert_wait_->Observe(absl::ToDoubleSeconds(expert_wait));
  step_tokens_->Observe(static_cast<double>(num_rows));
}

void CoordinatorMetrics::OnStarted(absl::Duration queue) {
  queue_time_->Observe(absl::ToDoubleSeconds(queue));
}

void CoordinatorMetrics::OnAdmitted(int64_t num_tokens, int64_t cached_tokens) {
  prefix_queries_->Increment(static_cast<double>(num_tokens));
  prefix_hits_->Increment(static_cast<double>(cached_tokens));
}

void CoordinatorMetrics::OnPreempted() { preemptions_->Increment(); }

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
