#include "coordinator/grpc/serving_gate.h"

#include <utility>

#include "model/log.h"

namespace tramontane {

void ServingGate::Open(std::function<void(bool serving)> set_serving) {
  const std::lock_guard<std::mutex> lock(mutex_);
  set_serving_ = std::move(set_serving);
  set_serving_(complete_);
}

void ServingGate::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (set_serving_) set_serving_(false);
  set_serving_ = nullptr;
}

void ServingGate::OnWorker(const std::string& address, bool connected) {
  metrics_->SetWorkerUp(address, connected);
}

void ServingGate::OnWorkerGone(const std::string& address) { metrics_->RemoveWorker(address); }

void ServingGate::OnPlacement(int64_t num_missing) {
  metrics_->SetMissingExperts(num_missing);
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool complete = num_missing == 0;
  if (complete == complete_) return;
  complete_ = complete;
  Log(complete ? LogLevel::kInfo : LogLevel::kWarning,
      complete ? "every expert has a worker" : "experts without a worker",
      {{"missing", num_missing}});
  if (set_serving_) set_serving_(complete);
}

}  // namespace tramontane
