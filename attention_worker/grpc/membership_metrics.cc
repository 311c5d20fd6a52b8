#include "attention_worker/grpc/membership_metrics.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention_worker/grpc/metric_families.h"

namespace tramontane {

MembershipMetrics::MembershipMetrics(std::shared_ptr<prometheus::Registry> registry, int num_layers,
                                     int num_experts)
    : registry_(std::move(registry)),
      probe_failures_(&prometheus::BuildCounter()
                           .Name("tramontane_expert_worker_probe_failures_total")
                           .Help("Probes of expert workers that were not passed, by code.")
                           .Register(*registry_)),
      returns_(AddCounter(*registry_, "tramontane_expert_worker_returns_total",
                          "Times that an expert worker served again after it was set aside or had "
                          "failed its probe.")) {
  auto& states = prometheus::BuildGauge()
                     .Name("tramontane_expert_workers")
                     .Help("Expert workers that are known, by state.")
                     .Register(*registry_);
  for (const WorkerState state : kWorkerStates) {
    by_state_[state] = &states.Add({{"state", std::string(WorkerStateName(state))}});
  }
  auto& replicas = prometheus::BuildGauge()
                       .Name("tramontane_expert_replicas")
                       .Help("Expert workers that serve the expert now.")
                       .Register(*registry_);
  for (int layer = 0; layer < num_layers; ++layer) {
    for (int expert = 0; expert < num_experts; ++expert) {
      replicas_.push_back(
          &replicas.Add({{"layer", absl::StrCat(layer)}, {"expert", absl::StrCat(expert)}}));
    }
  }
}

void MembershipMetrics::OnWorker(const WorkerSnapshot& worker) {
  Known& known = workers_[worker.address];
  known.state = worker.state;
  if (worker.num_probe_failures > known.num_probe_failures) {
    probe_failures_->Add({{"code", absl::StatusCodeToString(worker.last_error.code())}})
        .Increment(static_cast<double>(worker.num_probe_failures - known.num_probe_failures));
  }
  if (worker.num_returns > known.num_returns) {
    returns_->Increment(static_cast<double>(worker.num_returns - known.num_returns));
  }
  known.num_probe_failures = worker.num_probe_failures;
  known.num_returns = worker.num_returns;
  CountStates();
}

void MembershipMetrics::OnWorkerGone(const std::string& address) {
  workers_.erase(address);
  CountStates();
}

void MembershipMetrics::CountStates() {
  std::map<WorkerState, int> counts;
  for (const auto& [address, known] : workers_) ++counts[known.state];
  for (const auto& [state, gauge] : by_state_) gauge->Set(counts[state]);
}

void MembershipMetrics::OnPlacement(const ExpertPlacement& placement) {
  for (size_t i = 0; i < replicas_.size() && i < placement.replicas.size(); ++i) {
    replicas_[i]->Set(static_cast<double>(placement.replicas[i].size()));
  }
}

}  // namespace tramontane
