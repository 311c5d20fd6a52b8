// Metrics of which expert workers there are, and of what becomes of them.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_MEMBERSHIP_METRICS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_MEMBERSHIP_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attention_worker/expert_directory.h"
#include "attention_worker/grpc/worker_connection.h"

namespace tramontane {

// Names and meanings: docs/metrics.md. One call at a time.
class MembershipMetrics {
 public:
  // The registry outlives it, which `registry` sees to.
  MembershipMetrics(std::shared_ptr<prometheus::Registry> registry, int num_layers,
                    int num_experts);

  void OnWorker(const WorkerSnapshot& worker);
  void OnWorkerGone(const std::string& address);
  void OnPlacement(const ExpertPlacement& placement);

 private:
  struct Known {
    WorkerState state = WorkerState::kConnecting;
    int64_t num_probe_failures = 0;
    int64_t num_returns = 0;
  };

  void CountStates();

  const std::shared_ptr<prometheus::Registry> registry_;
  std::map<WorkerState, prometheus::Gauge*> by_state_;
  prometheus::Family<prometheus::Counter>* const probe_failures_;
  prometheus::Counter* const returns_;
  std::vector<prometheus::Gauge*> replicas_;  // [num_layers * num_experts]
  std::map<std::string, Known> workers_;      // by address
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_MEMBERSHIP_METRICS_H_
