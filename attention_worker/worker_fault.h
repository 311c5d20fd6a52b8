// Whose fault a batch's failure is, and what may be wrong with an answer.
#ifndef TRAMONTANE_ATTENTION_WORKER_WORKER_FAULT_H_
#define TRAMONTANE_ATTENTION_WORKER_WORKER_FAULT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "attention_worker/dispatch_plan.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/expert_directory.h"
#include "model/dtype.h"

namespace tramontane {

enum class WorkerFault {
  kBroken,       // gone, silent, or it answers what it may not: set it aside
  kBusy,         // its queue is full: another worker, or the same a little later
  kPerhapsOurs,  // it refuses the batch: another worker, once
};
WorkerFault FaultOf(const absl::Status& failure);

// INTERNAL unless `answer` has a finite row [hidden_size] for each pair of `batch`.
absl::Status CheckAnswer(const PlannedBatch& batch, const ExpertBatchResult& answer,
                         int64_t hidden_size, DType row_dtype);

// Whether `client` hosts an expert of the layer.
bool Hosts(const ExpertPlacement& placement, int layer, const ExpertClient* client);
// Whether nobody else hosts some expert of `client`.
bool IsOnlyHost(const ExpertPlacement& placement, const ExpertClient* client);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_WORKER_FAULT_H_
