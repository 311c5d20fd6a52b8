#include "attention_worker/grpc/expert_readiness.h"

#include <algorithm>

#include "model/log.h"

namespace tramontane {

void ExpertReadiness::OnWorker(const WorkerSnapshot& worker) {
  metrics_->SetWorkerUp(worker.address, worker.state == WorkerState::kServing);
  membership_.OnWorker(worker);
}

void ExpertReadiness::OnWorkerGone(const std::string& address) {
  metrics_->RemoveWorker(address);
  membership_.OnWorkerGone(address);
}

void ExpertReadiness::OnPlacement(const ExpertPlacement& placement) {
  const int64_t num_missing = std::count_if(placement.replicas.begin(), placement.replicas.end(),
                                            [](const auto& replicas) { return replicas.empty(); });
  metrics_->SetMissingExperts(num_missing);
  membership_.OnPlacement(placement);
  const bool complete = num_missing == 0;
  if (complete != complete_) {
    complete_ = complete;
    Log(complete ? LogLevel::kInfo : LogLevel::kWarning,
        complete ? "every expert has a worker" : "experts without a worker",
        {{"missing", num_missing}});
  }
  on_placement_(complete);
}

}  // namespace tramontane
