#include "attention_worker/grpc/expert_readiness.h"

#include "model/log.h"

namespace tramontane {

void ExpertReadiness::OnWorker(const std::string& address, bool connected) {
  metrics_->SetWorkerUp(address, connected);
}

void ExpertReadiness::OnWorkerGone(const std::string& address) { metrics_->RemoveWorker(address); }

void ExpertReadiness::OnPlacement(int64_t num_missing) {
  metrics_->SetMissingExperts(num_missing);
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
