// Whether a task may be computed and its answer sent: all that a peer can get wrong is found here.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "expert_worker/expert_task.h"
#include "expert_worker/hosted_experts.h"

namespace tramontane {

// Shape, dtype, indices and experts, without a look at the rows: NOT_FOUND for an expert that is
// not hosted, INVALID_ARGUMENT for the rest.
absl::Status CheckExpertTask(const ExpertTask& task, const HostedExperts& experts,
                             int max_batch_rows);

// INVALID_ARGUMENT naming the first row that holds an infinity or a NaN.
absl::Status CheckRows(const ExpertTask& task, int64_t hidden_size);

// INTERNAL naming the expert that gave a row that is not finite. `answer`: [num_pairs,
// hidden_size].
absl::Status CheckAnswer(const ExpertTask& task, const std::byte* answer, int64_t hidden_size);

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_
