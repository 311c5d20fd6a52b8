// What an expert worker tells Prometheus. See docs/metrics.md.
#ifndef TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_WORKER_METRICS_H_
#define TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_WORKER_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/expert_set.h"

namespace tramontane {

// Thread-safe. The counters of every hosted expert exist from the start, at 0.
class ExpertWorkerMetrics final : public ExpertObserver {
 public:
  // The metrics stay in the registry, which the object keeps alive.
  ExpertWorkerMetrics(std::shared_ptr<prometheus::Registry> registry, const ExpertSet& hosted);

  void OnRows(int layer, int expert, int64_t num_rows) override;
  void OnBatch(const absl::Status& status, absl::Duration queue, absl::Duration compute) override;
  void OnMerge(int num_tasks, int64_t num_rows) override;
  void OnQueueDepth(int queued_batches) override;
  void OnAnswerMemory(size_t num_bytes) override;

 private:
  const std::shared_ptr<prometheus::Registry> registry_;
  const int num_experts_;
  std::vector<prometheus::Counter*> rows_;     // [num_layers * num_experts], null: not hosted
  std::vector<prometheus::Counter*> batches_;  // by status code
  prometheus::Histogram* queue_seconds_;
  prometheus::Histogram* compute_seconds_;
  prometheus::Histogram* merged_batches_;
  prometheus::Histogram* merged_rows_;
  prometheus::Gauge* queued_batches_;
  prometheus::Gauge* answer_bytes_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_WORKER_METRICS_H_
