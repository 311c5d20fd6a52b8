// What discovery finds, passed on to metrics, the log and whoever depends on it.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_READINESS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_READINESS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "attention_worker/grpc/attention_metrics.h"
#include "attention_worker/grpc/membership_metrics.h"
#include "attention_worker/grpc/worker_discovery.h"

namespace tramontane {

class ExpertReadiness final : public DiscoveryObserver {
 public:
  // `metrics` outlives it. `on_placement` is called, one call at a time, whenever discovery has
  // looked: whether every expert has a worker.
  ExpertReadiness(AttentionMetrics* metrics, MembershipMetrics membership,
                  std::function<void(bool complete)> on_placement)
      : metrics_(metrics),
        membership_(std::move(membership)),
        on_placement_(std::move(on_placement)) {}

  void OnWorker(const WorkerSnapshot& worker) override;
  void OnWorkerGone(const std::string& address) override;
  void OnPlacement(const ExpertPlacement& placement) override;

 private:
  AttentionMetrics* const metrics_;
  MembershipMetrics membership_;  // of the one call at a time
  const std::function<void(bool)> on_placement_;
  bool complete_ = false;  // of the one call at a time
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_EXPERT_READINESS_H_
