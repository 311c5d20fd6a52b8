#include "attention_worker/grpc/placement_messages.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/check.h"

namespace tramontane {
namespace {

using Runs = std::vector<std::pair<int, int>>;  // first and last expert

Runs RunsOf(const std::set<int>& experts) {
  Runs runs;
  for (const int expert : experts) {
    if (!runs.empty() && runs.back().second == expert - 1) {
      runs.back().second = expert;
    } else {
      runs.emplace_back(expert, expert);
    }
  }
  return runs;
}

}  // namespace

v1::PlacedWorkerState ToMessage(WorkerState state) {
  switch (state) {
    case WorkerState::kConnecting:
      return v1::PLACED_WORKER_STATE_CONNECTING;
    case WorkerState::kProbing:
      return v1::PLACED_WORKER_STATE_PROBING;
    case WorkerState::kServing:
      return v1::PLACED_WORKER_STATE_SERVING;
    case WorkerState::kSetAside:
      return v1::PLACED_WORKER_STATE_SET_ASIDE;
    case WorkerState::kDraining:
      return v1::PLACED_WORKER_STATE_DRAINING;
    case WorkerState::kGone:
      return v1::PLACED_WORKER_STATE_GONE;
  }
  TRAMONTANE_CHECK(false);
  return v1::PLACED_WORKER_STATE_UNSPECIFIED;
}

std::vector<v1::ExpertRange> ToRanges(const std::vector<ExpertWorkerDescription::Hosted>& experts) {
  std::map<int, std::set<int>> by_layer;
  for (const ExpertWorkerDescription::Hosted& hosted : experts) {
    by_layer[hosted.layer].insert(hosted.expert);
  }
  std::vector<v1::ExpertRange> ranges;
  Runs last_runs;
  size_t first_of_last = 0;  // ranges of the layer before
  int last_layer = -2;
  for (const auto& [layer, members] : by_layer) {
    Runs runs = RunsOf(members);
    if (layer != last_layer + 1 || runs != last_runs) {
      first_of_last = ranges.size();
      for (const auto& [first, last] : runs) {
        v1::ExpertRange& range = ranges.emplace_back();
        range.set_first_layer(static_cast<uint32_t>(layer));
        range.set_first_expert(static_cast<uint32_t>(first));
        range.set_last_expert(static_cast<uint32_t>(last));
      }
    }
    for (size_t i = first_of_last; i < ranges.size(); ++i) {
      ranges[i].set_last_layer(static_cast<uint32_t>(layer));
    }
    last_runs = std::move(runs);
    last_layer = layer;
  }
  return ranges;
}

v1::PlacedExpertWorker ToMessage(const WorkerSnapshot& worker, absl::Time now) {
  v1::PlacedExpertWorker message;
  message.set_address(worker.address);
  message.set_state(ToMessage(worker.state));
  message.set_state_seconds(absl::ToDoubleSeconds(now - worker.since));
  if (!worker.last_error.ok()) {
    message.set_last_error(std::string(worker.last_error.message()));
    message.set_last_error_seconds(absl::ToDoubleSeconds(now - worker.last_error_at));
  }
  message.set_times_set_aside(static_cast<uint64_t>(worker.num_set_aside));
  if (worker.client != nullptr) {
    const ReplicaLoad::Reading load = worker.client->load()->Read();
    message.set_outstanding_work(load.outstanding_units);
    const double seconds = load.seconds_per_unit.value_or(0);
    if (seconds > 0) message.set_work_per_second(1 / seconds);
  }
  if (worker.description != nullptr) {
    message.set_backend(worker.description->backend);
    for (v1::ExpertRange& range : ToRanges(worker.description->experts)) {
      *message.add_experts() = std::move(range);
    }
  }
  return message;
}

void SetExpertPlacement(const ExpertPlacement& placement,
                        const std::vector<WorkerSnapshot>& workers, absl::Time now,
                        v1::GetPlacementResponse* response) {
  for (const WorkerSnapshot& worker : workers) {
    *response->add_expert_workers() = ToMessage(worker, now);
  }
  const size_t least = placement.MinReplicas();
  response->set_min_replicas(static_cast<uint32_t>(least));
  response->set_experts_with_min_replicas(placement.ExpertsWithReplicas(least));
}

}  // namespace tramontane
