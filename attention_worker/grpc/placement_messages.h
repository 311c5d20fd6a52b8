// tramontane.v1.GetPlacementResponse from what a process knows of its expert workers.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_MESSAGES_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_MESSAGES_H_

#include <vector>

#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/grpc/worker_connection.h"
#include "attention_worker/worker_state.h"
#include "proto/placement.pb.h"

namespace tramontane {

v1::PlacedWorkerState ToMessage(WorkerState state);

// Runs of experts within a layer, joined over layers that have the same runs.
std::vector<v1::ExpertRange> ToRanges(const std::vector<ExpertWorkerDescription::Hosted>& experts);

v1::PlacedExpertWorker ToMessage(const WorkerSnapshot& worker, absl::Time now);

// Everything of the response that is about expert workers.
void SetExpertPlacement(const ExpertPlacement& placement,
                        const std::vector<WorkerSnapshot>& workers, absl::Time now,
                        v1::GetPlacementResponse* response);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_PLACEMENT_MESSAGES_H_
