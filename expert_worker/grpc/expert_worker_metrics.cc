#include "expert_worker/grpc/expert_worker_metrics.h"

#include <string>
#include <utility>

namespace tramontane {
namespace {

constexpr int kNumStatusCodes = 17;  // OK … UNAUTHENTICATED

// From 10 µs, a decode batch of a small model, to 10 s, a prefill of a large one.
prometheus::Histogram::BucketBoundaries SecondsBuckets() {
  return {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
}

// 1, 2, 4, … `last`, a power of two.
prometheus::Histogram::BucketBoundaries PowersOfTwo(int last) {
  prometheus::Histogram::BucketBoundaries buckets;
  for (int bound = 1; bound <= last; bound *= 2) buckets.push_back(bound);
  return buckets;
}

prometheus::Histogram* AddHistogram(prometheus::Registry& registry, const std::string& name,
                                    const std::string& help,
                                    const prometheus::Histogram::BucketBoundaries& buckets) {
  return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

prometheus::Gauge* AddGauge(prometheus::Registry& registry, const std::string& name,
                            const std::string& help) {
  return &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

ExpertWorkerMetrics::ExpertWorkerMetrics(std::shared_ptr<prometheus::Registry> registry,
                                         const ExpertSet& hosted)
    : registry_(std::move(registry)),
      num_experts_(hosted.num_experts()),
      rows_(static_cast<size_t>(hosted.num_layers()) * static_cast<size_t>(hosted.num_experts())) {
  auto& rows = prometheus::BuildCounter()
                   .Name("tramontane_expert_worker_rows_total")
                   .Help("Token rows that this worker computed, by layer and expert.")
                   .Register(*registry_);
  for (const auto& [layer, expert] : hosted.Members()) {
    rows_[static_cast<size_t>(layer) * num_experts_ + expert] =
        &rows.Add({{"layer", std::to_string(layer)}, {"expert", std::to_string(expert)}});
  }
  auto& batches = prometheus::BuildCounter()
                      .Name("tramontane_expert_worker_batches_total")
                      .Help("Batches that this worker answered, by status code.")
                      .Register(*registry_);
  for (int code = 0; code < kNumStatusCodes; ++code) {
    batches_.push_back(
        &batches.Add({{"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}}));
  }
  queue_seconds_ =
      AddHistogram(*registry_, "tramontane_expert_worker_queue_seconds",
                   "From receipt of a batch to the start of its compute.", SecondsBuckets());
  compute_seconds_ = AddHistogram(
      *registry_, "tramontane_expert_worker_compute_seconds",
      "Compute of a batch, with those that were computed together with it.", SecondsBuckets());
  merged_batches_ =
      AddHistogram(*registry_, "tramontane_expert_worker_merged_batches",
                   "Batches of one layer that were computed together.", PowersOfTwo(64));
  merged_rows_ = AddHistogram(*registry_, "tramontane_expert_worker_merged_rows",
                              "Rows, one for each (row, expert) pair, of the batches that were "
                              "computed together.",
                              PowersOfTwo(65'536));
  queued_batches_ = AddGauge(*registry_, "tramontane_expert_worker_queued_batches",
                             "Batches that wait for the executor.");
  answer_bytes_ = AddGauge(*registry_, "tramontane_expert_worker_answer_bytes",
                           "Memory of answers that are computed, or that peers have not taken.");
}

void ExpertWorkerMetrics::OnRows(int layer, int expert, int64_t num_rows) {
  rows_[static_cast<size_t>(layer) * num_experts_ + expert]->Increment(
      static_cast<double>(num_rows));
}

void ExpertWorkerMetrics::OnBatch(const absl::Status& status, absl::Duration queue,
                                  absl::Duration compute) {
  const int code = static_cast<int>(status.code());
  batches_[static_cast<size_t>(code < kNumStatusCodes ? code : 2)]->Increment();
  if (!status.ok()) return;
  queue_seconds_->Observe(absl::ToDoubleSeconds(queue));
  compute_seconds_->Observe(absl::ToDoubleSeconds(compute));
}

void ExpertWorkerMetrics::OnMerge(int num_tasks, int64_t num_rows) {
  merged_batches_->Observe(num_tasks);
  merged_rows_->Observe(static_cast<double>(num_rows));
}

void ExpertWorkerMetrics::OnQueueDepth(int queued_batches) { queued_batches_->Set(queued_batches); }

void ExpertWorkerMetrics::OnAnswerMemory(size_t num_bytes) {
  answer_bytes_->Set(static_cast<double>(num_bytes));
}

}  // namespace tramontane
