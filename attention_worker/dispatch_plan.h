// Which rows of a layer go to which expert worker: the permute step, without any I/O.
#ifndef TRAMONTANE_ATTENTION_WORKER_DISPATCH_PLAN_H_
#define TRAMONTANE_ATTENTION_WORKER_DISPATCH_PLAN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/replica_load.h"

namespace tramontane {

// One batch for one worker, before its rows are gathered.
struct PlannedBatch {
  std::shared_ptr<ExpertClient> client;
  std::vector<int32_t> tokens;           // [num_rows] the token each row belongs to, ascending
  std::vector<int32_t> expert_ids;       // [num_groups], ascending
  std::vector<int32_t> rows_per_expert;  // [num_groups]
  std::vector<int32_t> row_indices;      // [num_pairs] into `tokens`, ascending within a group
  std::vector<int32_t> slots;            // [num_pairs] token * top_k + rank: where the answer goes

  double units() const {
    return WorkUnits(static_cast<int64_t>(slots.size()), static_cast<int64_t>(expert_ids.size()));
  }
};

// The router's choice for one layer of a step.
struct RoutedTokens {
  int layer = 0;
  int64_t num_tokens = 0;
  int64_t top_k = 0;
  std::span<const int32_t> topk_expert_ids;  // [num_tokens, top_k], each in [0, num_experts)
};

// [num_experts] how many (token, choice) pairs go to each.
std::vector<int64_t> CountTokensPerExpert(const RoutedTokens& routed, int num_experts);

struct DispatchPlan {
  std::vector<PlannedBatch> batches;
  std::vector<int> missing_experts;  // ascending: those of `slots` that no replica may compute
};

// Shares the pairs in `slots` (ascending) out to the replicas of their experts, but for those that
// are `excluded`, so that all are answered soonest (see replica_choice.h; any choice gives the same
// bits). Cuts each worker's share into batches of at most its max_batch_rows pairs. A row appears
// once in a batch, and in one batch of a worker unless its own pairs pass that limit.
DispatchPlan PlanDispatch(const RoutedTokens& routed, std::span<const int32_t> slots,
                          const ExpertPlacement& placement,
                          std::span<const ExpertClient* const> excluded, absl::Time now);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_DISPATCH_PLAN_H_
