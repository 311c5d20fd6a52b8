// What a coordinator tells Prometheus. See docs/metrics.md.
#ifndef TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_
#define TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/step_observer.h"
#include "coordinator/grpc/expert_load.h"
#include "coordinator/scheduler_observer.h"
#include "coordinator/served_model.h"

namespace tramontane {

// The metrics stay in the registry, which the object keeps alive. Thread-safe, but for the calls of
// StepObserver and SchedulerObserver, which come from the one step thread.
class CoordinatorMetrics final : public StepObserver, public SchedulerObserver {
 public:
  CoordinatorMetrics(std::shared_ptr<prometheus::Registry> registry, const ServedModel& model,
                     std::string_view version);

  // A Generate call was answered.
  void CountRequest(absl::StatusCode code);
  void SetWorkerUp(const std::string& worker, bool up);
  void RemoveWorker(const std::string& worker);
  // Of num_layers * num_experts, how many have no worker.
  void SetMissingExperts(int64_t num_missing);

  void OnRouted(int layer, std::span<const int64_t> tokens_per_expert) override;
  void OnHop(std::string_view worker_address, int layer, const absl::Status& status,
             const HopTiming& timing) override;
  void OnStep(int64_t num_rows, absl::Duration total, absl::Duration expert_wait) override;

  void OnStarted(absl::Duration queue) override;
  void OnAdmitted(int64_t num_tokens, int64_t cached_tokens) override;
  void OnPreempted() override;
  void OnStepTokens(int64_t prompt_tokens, int64_t new_tokens) override;
  void OnFirstToken(absl::Duration since_arrival) override;
  void OnNextToken(absl::Duration since_the_one_before) override;
  void OnEnded(const absl::Status& status, absl::Duration since_arrival) override;
  void OnRound(int64_t num_running, int64_t num_waiting, const KvCacheUsage& usage) override;

 private:
  prometheus::Histogram* AddHistogram(const std::string& name, const std::string& help,
                                      const prometheus::Histogram::BucketBoundaries& buckets);
  prometheus::Gauge* AddGauge(const std::string& name, const std::string& help);
  prometheus::Counter* AddCounter(const std::string& name, const std::string& help);
  void AddRequestMetrics();
  void AddExpertMetrics(const MixtralConfig& config);
  void AddStepMetrics();
  void AddIdentity(const ServedModel& model, std::string_view version);

  const std::shared_ptr<prometheus::Registry> registry_;
  const int num_experts_;

  std::vector<prometheus::Counter*> requests_;  // by status code
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
  prometheus::Counter* prompt_tokens_;
  prometheus::Counter* generation_tokens_;

  std::vector<prometheus::Counter*> expert_tokens_;  // [num_layers * num_experts]
  std::vector<prometheus::Gauge*> imbalance_;        // [num_layers]
  std::vector<ExpertLoad> loads_;                    // [num_layers]; step thread only
  prometheus::Histogram* hop_serialize_;
  prometheus::Histogram* hop_network_;
  prometheus::Histogram* hop_queue_;
  prometheus::Histogram* hop_compute_;
  prometheus::Family<prometheus::Counter>* hop_failures_;
  prometheus::Family<prometheus::Gauge>* worker_up_family_;
  prometheus::Gauge* missing_experts_;

  prometheus::Histogram* step_seconds_;
  prometheus::Histogram* step_expert_wait_;
  prometheus::Histogram* step_tokens_;

  std::mutex mutex_;
  std::map<std::string, prometheus::Gauge*> worker_up_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_COORDINATOR_METRICS_H_
