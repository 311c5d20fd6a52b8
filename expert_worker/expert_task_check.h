// Whether a task may be computed: everything a peer could get wrong is found here.
#ifndef TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_
#define TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_

#include "absl/status/status.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/hosted_experts.h"

namespace tramontane {

// Shape, dtype, indices and experts, without a look at the rows: NOT_FOUND for an expert that is
// not hosted, INVALID_ARGUMENT for the rest.
absl::Status CheckExpertTask(const ExpertTask& task, const HostedExperts& experts,
                             int max_batch_rows);

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_EXPERT_TASK_CHECK_H_
