#include "attention_worker/worker_fault.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/finite_rows.h"

namespace tramontane {

WorkerFault FaultOf(const absl::Status& failure) {
  switch (failure.code()) {
    case absl::StatusCode::kResourceExhausted:
      return WorkerFault::kBusy;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return WorkerFault::kPerhapsOurs;
    default:
      return WorkerFault::kBroken;
  }
}

absl::Status CheckAnswer(const PlannedBatch& batch, const ExpertBatchResult& answer,
                         int64_t hidden_size, DType row_dtype) {
  if (answer.row_pointers.size() != batch.slots.size()) {
    return absl::InternalError(absl::StrCat("expected ", batch.slots.size(), " rows back, found ",
                                            answer.row_pointers.size()));
  }
  for (size_t i = 0; i < batch.slots.size(); ++i) {
    if (!RowIsFinite(answer.row_pointers[i], hidden_size, row_dtype)) {
      return absl::InternalError(
          absl::StrCat("row ", i,
                       " of the answer holds an infinity or a NaN; expected finite "
                       "numbers: check the worker's checkpoint and hardware"));
    }
  }
  return absl::OkStatus();
}

bool Hosts(const ExpertPlacement& placement, int layer, const ExpertClient* client) {
  for (int expert = 0; expert < placement.num_experts; ++expert) {
    for (const auto& replica : placement.Replicas(layer, expert)) {
      if (replica.get() == client) return true;
    }
  }
  return false;
}

bool IsOnlyHost(const ExpertPlacement& placement, const ExpertClient* client) {
  return std::any_of(placement.replicas.begin(), placement.replicas.end(),
                     [client](const auto& replicas) {
                       return replicas.size() == 1 && replicas.front().get() == client;
                     });
}

}  // namespace tramontane
