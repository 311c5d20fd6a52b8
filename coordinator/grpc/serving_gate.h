// Whether the coordinator says that it is SERVING.
#ifndef TRAMONTANE_COORDINATOR_GRPC_SERVING_GATE_H_
#define TRAMONTANE_COORDINATOR_GRPC_SERVING_GATE_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/grpc/worker_discovery.h"

namespace tramontane {

// SERVING exactly while every (layer, expert) has a worker and nobody has asked to stop. Counts
// workers and missing experts on the way. Thread-safe.
class ServingGate final : public DiscoveryObserver {
 public:
  // `metrics` outlives the gate.
  explicit ServingGate(CoordinatorMetrics* metrics) : metrics_(metrics) {}

  // `set_serving` is called with the state now and with every change, one call at a time.
  void Open(std::function<void(bool serving)> set_serving);
  // NOT_SERVING, for good; set_serving is not called any more once this has returned.
  void Close();

  void OnWorker(const std::string& address, bool connected) override;
  void OnWorkerGone(const std::string& address) override;
  void OnPlacement(int64_t num_missing) override;

 private:
  CoordinatorMetrics* const metrics_;

  std::mutex mutex_;
  std::function<void(bool)> set_serving_ ABSL_GUARDED_BY(mutex_);
  bool complete_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_SERVING_GATE_H_
