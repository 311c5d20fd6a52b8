// Which processes serve a model to so many users, and what memory each takes. docs/capacity.md.
#ifndef TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_PLAN_H_
#define TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/capacity/capacity_request.h"
#include "coordinator/capacity/process_memory.h"

namespace tramontane {

// Expert workers that host the same experts, `request.replicas` of them.
struct ExpertShard {
  std::string name;  // "e0-3", "l0-15-e0": a DNS label
  ExpertBlock block;
  ProcessMemory memory;  // of one worker
};

struct CapacityPlan {
  CapacityRequest request;  // with context_tokens filled in

  std::vector<ExpertShard> shards;  // by layer, then by expert
  int64_t num_expert_workers = 0;

  bool attention_in_coordinator = true;
  int64_t num_attention_workers = 0;  // 0 where the coordinator runs attention
  int64_t users_per_attention = 0;    // --max_running_requests
  int64_t kv_cache_tokens = 0;        // of each process that runs attention
  ProcessMemory attention;            // of one such process, the coordinator or a worker
  ProcessMemory coordinator;          // the same as `attention` where the coordinator runs it

  int64_t total_memory_bytes = 0;  // of all processes, headroom not counted

  // What a process is to be given: its memory and the headroom, in whole 64 MiB, but no more than
  // the request allows.
  int64_t GivenToExpertWorker(const ExpertShard& shard) const;
  int64_t GivenToAttention() const;
  int64_t GivenToCoordinator() const;
};

// INVALID_ARGUMENT naming what in the request is out of range. FAILED_PRECONDITION where it cannot
// be had with the memory or the number of workers given: what is needed, what is given, and what to
// change.
absl::StatusOr<CapacityPlan> PlanCapacity(const CapacityRequest& request);

// "0-3", "5": ids [first, first + count).
std::string IdRange(int first, int count);
// "352.0 MiB", "24.0 GiB".
std::string BytesText(int64_t bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_PLAN_H_
