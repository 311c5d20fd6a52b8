#include "attention_worker/grpc/attention_metrics.h"

#include <utility>

#include "attention_worker/grpc/metric_families.h"

namespace tramontane {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// From 10 µs, a hop's share at batch 1, to 10 s.
Buckets HopBuckets() {
  return {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
}

Buckets TokenBuckets() { return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}; }

}  // namespace

AttentionMetrics::AttentionMetrics(std::shared_ptr<prometheus::Registry> registry, int num_layers,
                                   int num_experts)
    : registry_(std::move(registry)),
      num_experts_(num_experts),
      hop_failures_(*registry_, "tramontane_expert_hop_failures_total",
                    "Batches that an expert worker did not answer with rows."),
      set_aside_(*registry_, "tramontane_expert_workers_set_aside_total",
                 "Times that an expert worker was set aside until a probe."),
      workers_(*registry_, "tramontane_expert_worker_up",
               "1 where the expert worker is connected and accepted, else 0.") {
  AddExpertMetrics(num_layers);
  AddHopMetrics();
  AddFailureMetrics();
  step_seconds_ = AddHistogram(*registry_, "tramontane_step_duration_seconds",
                               "Wall time of a step.", LatencyBuckets());
  step_expert_wait_ = AddHistogram(*registry_, "tramontane_step_expert_wait_seconds",
                                   "Share of a step spent waiting for experts.", LatencyBuckets());
  step_tokens_ =
      AddHistogram(*registry_, "tramontane_step_tokens", "Rows of a step.", TokenBuckets());
}

void AttentionMetrics::AddExpertMetrics(int num_layers) {
  auto& tokens = prometheus::BuildCounter()
                     .Name("tramontane_expert_tokens_total")
                     .Help("(Token, choice) pairs that the router sent to an expert.")
                     .Register(*registry_);
  auto& imbalance = prometheus::BuildGauge()
                        .Name("tramontane_expert_imbalance_ratio")
                        .Help("Tokens of a layer's busiest expert over the mean, of late.")
                        .Register(*registry_);
  for (int layer = 0; layer < num_layers; ++layer) {
    const std::string name = std::to_string(layer);
    imbalance_.push_back(&imbalance.Add({{"layer", name}}));
    loads_.emplace_back(num_experts_);
    for (int expert = 0; expert < num_experts_; ++expert) {
      expert_tokens_.push_back(&tokens.Add({{"layer", name}, {"expert", std::to_string(expert)}}));
    }
  }
  missing_experts_ = AddGauge(*registry_, "tramontane_experts_missing",
                              "(Layer, expert) pairs that no connected worker hosts.");
}

void AttentionMetrics::AddHopMetrics() {
  auto& hop = prometheus::BuildHistogram()
                  .Name("tramontane_expert_hop_seconds")
                  .Help("Time of a batch's way to an expert worker and back, by phase.")
                  .Register(*registry_);
  hop_serialize_ = &hop.Add({{"phase", "serialize"}}, HopBuckets());
  hop_network_ = &hop.Add({{"phase", "network"}}, HopBuckets());
  hop_queue_ = &hop.Add({{"phase", "queue"}}, HopBuckets());
  hop_compute_ = &hop.Add({{"phase", "compute"}}, HopBuckets());
}

void AttentionMetrics::AddFailureMetrics() {
  retries_ = &prometheus::BuildCounter()
                  .Name("tramontane_expert_retries_total")
                  .Help("Batches whose rows went to another worker, or to the same once more.")
                  .Register(*registry_);
  hedges_ = AddCounter(*registry_, "tramontane_expert_hedges_total",
                       "Batches whose rows a second worker got for the sake of the tail.");
  late_answers_ = AddCounter(*registry_, "tramontane_expert_late_answers_total",
                             "Answers that came when nobody needed them any more.");
  waiting_ = AddGauge(*registry_, "tramontane_expert_waiting",
                      "Layers that wait now for a worker with an expert that nobody hosts.");
  wait_seconds_ =
      AddHistogram(*registry_, "tramontane_expert_wait_seconds",
                   "Waits for a worker with an expert that nobody hosts.", LatencyBuckets());
  stall_seconds_ = AddHistogram(*registry_, "tramontane_expert_stall_seconds",
                                "From the sending of a batch that failed to the last answer of its "
                                "layer, where the layer succeeded.",
                                LatencyBuckets());
}

void AttentionMetrics::RemoveWorker(const std::string& worker) {
  workers_.Remove(worker);
  hop_failures_.Remove(worker);
  set_aside_.Remove(worker);
}

void AttentionMetrics::SetMissingExperts(int64_t num_missing) {
  missing_experts_->Set(static_cast<double>(num_missing));
}

void AttentionMetrics::OnRouted(int layer, std::span<const int64_t> tokens_per_expert) {
  const size_t first = static_cast<size_t>(layer) * static_cast<size_t>(num_experts_);
  for (size_t expert = 0; expert < tokens_per_expert.size(); ++expert) {
    const int64_t tokens = tokens_per_expert[expert];
    if (tokens > 0) expert_tokens_[first + expert]->Increment(static_cast<double>(tokens));
  }
  ExpertLoad& load = loads_[static_cast<size_t>(layer)];
  load.Add(tokens_per_expert);
  imbalance_[static_cast<size_t>(layer)]->Set(load.Imbalance());
}

void AttentionMetrics::OnHop(std::string_view worker_address, int /*layer*/,
                             const absl::Status& status, const HopTiming& timing) {
  if (!status.ok()) {
    hop_failures_.Count(std::string(worker_address), status.code());
    return;
  }
  hop_serialize_->Observe(absl::ToDoubleSeconds(timing.serialize));
  hop_network_->Observe(absl::ToDoubleSeconds(timing.network));
  hop_queue_->Observe(absl::ToDoubleSeconds(timing.queue));
  hop_compute_->Observe(absl::ToDoubleSeconds(timing.compute));
}

void AttentionMetrics::OnRetry(std::string_view /*worker_address*/, int /*layer*/,
                               std::string_view reason) {
  retries_->Add({{"reason", std::string(reason)}}).Increment();
}

void AttentionMetrics::OnSetAside(std::string_view worker_address, const absl::Status& reason) {
  set_aside_.Count(std::string(worker_address), reason.code());
}

void AttentionMetrics::OnHedge(std::string_view /*worker_address*/, int /*layer*/) {
  hedges_->Increment();
}

void AttentionMetrics::OnLateAnswers(int64_t count) {
  late_answers_->Increment(static_cast<double>(count));
}

void AttentionMetrics::OnExpertWaitBegin(int /*layer*/) { waiting_->Increment(); }

void AttentionMetrics::OnExpertWaitEnd(int /*layer*/, absl::Duration waited) {
  waiting_->Decrement();
  wait_seconds_->Observe(absl::ToDoubleSeconds(waited));
}

void AttentionMetrics::OnExpertWaitInterrupted(int /*layer*/) { waiting_->Decrement(); }

void AttentionMetrics::OnStall(int /*layer*/, absl::Duration stall) {
  stall_seconds_->Observe(absl::ToDoubleSeconds(stall));
}

void AttentionMetrics::OnStep(int64_t num_rows, absl::Duration total, absl::Duration expert_wait) {
  step_seconds_->Observe(absl::ToDoubleSeconds(total));
  step_expert_wait_->Observe(absl::ToDoubleSeconds(expert_wait));
  step_tokens_->Observe(static_cast<double>(num_rows));
}

}  // namespace tramontane
