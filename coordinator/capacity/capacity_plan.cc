#include "coordinator/capacity/capacity_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "attention_worker/kv_cache/kv_block_pool.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "coordinator/capacity/expert_shards.h"

namespace tramontane {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGivenStep = 64 * kMiB;
// Far above any deployment, and low enough that no product of two sizes overflows.
constexpr int64_t kMaxUsers = 1'000'000;
constexpr int64_t kMaxMemoryBytes = int64_t{1} << 50;
constexpr int kMaxReplicas = 1'000;
constexpr int kMaxThreads = 4'096;
constexpr int kMaxGpus = 64;

struct Bound {
  const char* name;
  int64_t value;
  int64_t least;
  int64_t most;
};

absl::Status CheckRequest(const CapacityRequest& request) {
  const int64_t context = request.model.max_position_embeddings;
  const Bound bounds[] = {
      {"users", request.users, 1, kMaxUsers},
      {"context", request.context_tokens, 1, context},
      {"expert_memory", request.expert_memory_bytes, 1, kMaxMemoryBytes},
      {"attention_memory", request.attention_memory_bytes, 1, kMaxMemoryBytes},
      {"headroom_percent", request.headroom_percent, 0, 90},
      {"replicas", request.replicas, 1, kMaxReplicas},
      {"experts_per_shard", request.max_experts_per_shard, 0, request.model.num_experts},
      {"max_expert_workers", request.max_expert_workers, 0, std::numeric_limits<int>::max()},
      {"spare_attention_workers", request.spare_attention_workers, 0, kMaxReplicas},
      {"expert_gpus", request.expert_gpus, 0, kMaxGpus},
      {"expert_cores", request.expert_threads, 0, kMaxThreads},
      {"attention_cores", request.attention_threads, 0, kMaxThreads},
      {"max_step_tokens", request.max_step_tokens, 1, 1 << 20},
      {"max_waiting_requests", request.max_waiting_requests, 0, kMaxUsers},
      {"kv_block_size", request.kv_block_size, kKvTile, 1 << 16},
  };
  for (const Bound& bound : bounds) {
    if (bound.value >= bound.least && bound.value <= bound.most) continue;
    return absl::InvalidArgumentError(absl::StrCat("--", bound.name, ": expected ", bound.least,
                                                   " to ", bound.most, ", found ", bound.value));
  }
  if (request.kv_block_size % kKvTile != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--kv_block_size: expected a multiple of ",
                                                   kKvTile, ", found ", request.kv_block_size));
  }
  return absl::OkStatus();
}

int64_t Usable(int64_t memory_bytes, int headroom_percent) {
  return memory_bytes / 100 * (100 - headroom_percent);
}

int64_t Given(const ProcessMemory& memory, int headroom_percent) {
  const int64_t wanted = memory.total() * 100 / (100 - headroom_percent) + 1;
  return (wanted + kGivenStep - 1) / kGivenStep * kGivenStep;
}

std::string ShardName(const ExpertBlock& block, int num_layers) {
  const std::string experts = absl::StrCat("e", IdRange(block.first_expert, block.num_experts));
  if (block.num_layers == num_layers) return experts;
  return absl::StrCat("l", IdRange(block.first_layer, block.num_layers), "-", experts);
}

// Plans attention: where, how many, with which KV cache.
class AttentionPlanner {
 public:
  explicit AttentionPlanner(const CapacityRequest& request)
      : request_(request),
        usable_bytes_(Usable(request.attention_memory_bytes, request.headroom_percent)),
        blocks_per_user_(KvBlocksFor(request.context_tokens, request.kv_block_size)) {}

  absl::Status Plan(CapacityPlan* plan) const {
    const bool coordinator_holds_all = UsersThatFit(request_.users, true) >= request_.users;
    plan->attention_in_coordinator =
        request_.attention == AttentionPlace::kCoordinator ||
        (request_.attention == AttentionPlace::kAuto && coordinator_holds_all);
    if (plan->attention_in_coordinator && !coordinator_holds_all) {
      return DoesNotFit(request_.users, true, "or move it to workers by --attention=workers");
    }
    int64_t processes = 1;
    if (!plan->attention_in_coordinator) {
      const int64_t most = UsersThatFit(0, false);
      if (most < 1) return DoesNotFit(1, false, "or a smaller --max_step_tokens");
      processes = (request_.users + most - 1) / most;
      plan->num_attention_workers = processes + request_.spare_attention_workers;
    }
    plan->users_per_attention = (request_.users + processes - 1) / processes;
    plan->kv_cache_tokens = Tokens(plan->users_per_attention);
    plan->attention = AttentionMemory(request_, plan->kv_cache_tokens, plan->users_per_attention,
                                      plan->attention_in_coordinator);
    plan->coordinator =
        plan->attention_in_coordinator ? plan->attention : CoordinatorMemory(request_);
    return absl::OkStatus();
  }

 private:
  int64_t Tokens(int64_t users) const { return users * blocks_per_user_ * request_.kv_block_size; }

  // Whose keys and values fit beside what a process for `users` takes else.
  int64_t UsersThatFit(int64_t users, bool is_coordinator) const {
    const int64_t left =
        usable_bytes_ - AttentionMemory(request_, 0, users, is_coordinator).total();
    const int64_t block_bytes =
        request_.kv_block_size * KvBytesPerToken(request_.model, request_.compute_dtype) +
        KvBlockPool::ApproximateBytes(1, request_.kv_block_size);
    return std::max<int64_t>(0, left / block_bytes / blocks_per_user_);
  }

  absl::Status DoesNotFit(int64_t users, bool is_coordinator, const char* advice) const {
    const ProcessMemory needed = AttentionMemory(request_, Tokens(users), users, is_coordinator);
    return absl::FailedPreconditionError(
        absl::StrCat("attention for ", users, users == 1 ? " user of " : " users of ",
                     request_.context_tokens, " tokens needs ", BytesText(needed.total()),
                     " in one process, ", BytesText(needed.Bytes(kKvCacheItem)),
                     " of it for keys and values; --attention_memory leaves ",
                     BytesText(usable_bytes_), " after a headroom of ", request_.headroom_percent,
                     "%: give more, plan for fewer --users or a shorter --context, ", advice));
  }

  const CapacityRequest& request_;
  const int64_t usable_bytes_;
  const int64_t blocks_per_user_;
};

absl::Status PlanExperts(const CapacityRequest& request, CapacityPlan* plan) {
  const int64_t num_attention = std::max<int64_t>(1, plan->num_attention_workers);
  const absl::StatusOr<std::vector<ExpertBlock>> blocks = DivideExperts(
      request, Usable(request.expert_memory_bytes, request.headroom_percent), num_attention);
  if (!blocks.ok()) return blocks.status();
  for (const ExpertBlock& block : *blocks) {
    plan->shards.push_back({ShardName(block, request.model.num_layers), block,
                            ExpertWorkerMemory(request, block, num_attention)});
  }
  plan->num_expert_workers = static_cast<int64_t>(blocks->size()) * request.replicas;
  if (request.max_expert_workers > 0 && plan->num_expert_workers > request.max_expert_workers) {
    return absl::FailedPreconditionError(absl::StrCat(
        blocks->size(), blocks->size() == 1 ? " shard" : " shards", " of ", request.replicas,
        request.replicas == 1 ? " replica need " : " replicas need ", plan->num_expert_workers,
        " expert workers; --max_expert_workers allows ", request.max_expert_workers,
        ": give more --expert_memory to each, plan for fewer --replicas, or allow more workers"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string IdRange(int first, int count) {
  return count == 1 ? absl::StrCat(first) : absl::StrCat(first, "-", first + count - 1);
}

std::string BytesText(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / static_cast<double>(kMiB);
  return mib < 1024 ? absl::StrFormat("%.1f MiB", mib) : absl::StrFormat("%.1f GiB", mib / 1024);
}

int64_t CapacityPlan::GivenToExpertWorker(const ExpertShard& shard) const {
  return std::min(Given(shard.memory, request.headroom_percent), request.expert_memory_bytes);
}

int64_t CapacityPlan::GivenToAttention() const {
  return std::min(Given(attention, request.headroom_percent), request.attention_memory_bytes);
}

int64_t CapacityPlan::GivenToCoordinator() const {
  return attention_in_coordinator ? GivenToAttention()
                                  : Given(coordinator, request.headroom_percent);
}

absl::StatusOr<CapacityPlan> PlanCapacity(const CapacityRequest& asked) {
  CapacityPlan plan;
  plan.request = asked;
  CapacityRequest& request = plan.request;
  if (request.context_tokens == 0) request.context_tokens = request.model.max_position_embeddings;
  const absl::Status valid = CheckRequest(request);
  if (!valid.ok()) return valid;
  const absl::Status attention = AttentionPlanner(request).Plan(&plan);
  if (!attention.ok()) return attention;
  const absl::Status experts = PlanExperts(request, &plan);
  if (!experts.ok()) return experts;

  plan.total_memory_bytes =
      plan.coordinator.total() + plan.num_attention_workers * plan.attention.total();
  for (const ExpertShard& shard : plan.shards) {
    plan.total_memory_bytes += request.replicas * shard.memory.total();
  }
  return plan;
}

}  // namespace tramontane
