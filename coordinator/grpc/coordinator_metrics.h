// What a coordinator tells Prometheus. See docs/metrics.md.
#ifndef TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_
#define TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/worker_up.h"
#include "coordinator/scheduler_observer.h"

namespace tramontane {

// The metrics stay in the registry, which the object keeps alive. Thread-safe. Those of steps and
// experts are AttentionMetrics', of whichever process runs attention.
class CoordinatorMetrics final : public SchedulerObserver {
 public:
  explicit CoordinatorMetrics(std::shared_ptr<prometheus::Registry> registry);

  // A Generate call was answered.
  void CountRequest(absl::StatusCode code);
  // Whether the attention worker at an address is connected.
  void SetAttentionWorkerUp(const std::string& worker, bool up) {
    attention_workers_.Set(worker, up);
  }
  void RemoveAttentionWorker(const std::string& worker) { attention_workers_.Remove(worker); }

  void OnRefused(Refusal reason) override;
  void OnEstimatedWait(absl::Duration wait) override;
  void OnStarted(absl::Duration queue) override;
  void OnAdmitted(int64_t num_tokens, int64_t cached_tokens) override;
  void OnPreempted() override;
  void OnRequeued() override;
  void OnStepTokens(int64_t prompt_tokens, int64_t new_tokens) override;
  void OnFirstToken(absl::Duration since_arrival) override;
  void OnNextToken(absl::Duration since_the_one_before) override;
  void OnEnded(const absl::Status& status, absl::Duration since_arrival) override;
  void OnRound(int64_t num_running, int64_t num_waiting, const KvCacheUsage& usage) override;

 private:
  const std::shared_ptr<prometheus::Registry> registry_;

  std::vector<prometheus::Counter*> requests_;  // by status code
  std::vector<prometheus::Counter*> refused_;   // by Refusal
  prometheus::Gauge* estimated_wait_;
  prometheus::Histogram* time_to_first_token_;
  prometheus::Histogram* inter_token_latency_;
  prometheus::Histogram* request_latency_;
  prometheus::Histogram* queue_time_;
  prometheus::Gauge* num_running_;
  prometheus::Gauge* num_waiting_;
  prometheus::Gauge* kv_cache_usage_;
  prometheus::Counter* prefix_queries_;
  prometheus::Counter* prefix_hits_;
  prometheus::Counter* preemptions_;
  prometheus::Counter* requeued_;
  prometheus::Counter* prompt_tokens_;
  prometheus::Counter* generation_tokens_;
  WorkerUp attention_workers_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_
