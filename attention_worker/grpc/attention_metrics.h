// What the process that runs attention tells Prometheus: steps, hops, experts. See docs/metrics.md.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_METRICS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/expert_load.h"
#include "attention_worker/grpc/worker_failures.h"
#include "attention_worker/grpc/worker_up.h"
#include "attention_worker/step_observer.h"

namespace tramontane {

// The metrics stay in the registry, which the object keeps alive. Thread-safe, but for the calls of
// StepObserver, which come from the one step thread.
class AttentionMetrics final : public StepObserver {
 public:
  AttentionMetrics(std::shared_ptr<prometheus::Registry> registry, int num_layers, int num_experts);

  // Expert workers, by address.
  void SetWorkerUp(const std::string& worker, bool up) { workers_.Set(worker, up); }
  void RemoveWorker(const std::string& worker);
  // Of num_layers * num_experts, how many have no worker.
  void SetMissingExperts(int64_t num_missing);

  void OnRouted(int layer, std::span<const int64_t> tokens_per_expert) override;
  void OnHop(std::string_view worker_address, int layer, const absl::Status& status,
             const HopTiming& timing) override;
  void OnRetry(std::string_view worker_address, int layer, std::string_view reason) override;
  void OnSetAside(std::string_view worker_address, const absl::Status& reason) override;
  void OnHedge(std::string_view worker_address, int layer) override;
  void OnLateAnswers(int64_t count) override;
  void OnExpertWaitBegin(int layer) override;
  void OnExpertWaitEnd(int layer, absl::Duration waited) override;
  void OnExpertWaitInterrupted(int layer) override;
  void OnStall(int layer, absl::Duration stall) override;
  void OnStep(int64_t num_rows, absl::Duration total, absl::Duration expert_wait) override;

 private:
  void AddExpertMetrics(int num_layers);
  void AddHopMetrics();
  void AddFailureMetrics();

  const std::shared_ptr<prometheus::Registry> registry_;
  const int num_experts_;

  std::vector<prometheus::Counter*> expert_tokens_;  // [num_layers * num_experts]
  std::vector<prometheus::Gauge*> imbalance_;        // [num_layers]
  std::vector<ExpertLoad> loads_;                    // [num_layers]; step thread only
  prometheus::Histogram* hop_serialize_;
  prometheus::Histogram* hop_network_;
  prometheus::Histogram* hop_queue_;
  prometheus::Histogram* hop_compute_;
  WorkerFailures hop_failures_;
  prometheus::Family<prometheus::Counter>* retries_;
  WorkerFailures set_aside_;
  prometheus::Counter* hedges_;
  prometheus::Counter* late_answers_;
  prometheus::Gauge* waiting_;
  prometheus::Histogram* wait_seconds_;
  prometheus::Histogram* stall_seconds_;
  WorkerUp workers_;
  prometheus::Gauge* missing_experts_;

  prometheus::Histogram* step_seconds_;
  prometheus::Histogram* step_expert_wait_;
  prometheus::Histogram* step_tokens_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_ATTENTION_METRICS_H_
