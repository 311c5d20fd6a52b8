#include "coordinator/tramontanectl/plan_values.h"

#include "absl/strings/str_cat.h"
#include "coordinator/tramontanectl/memory_size.h"
#include "model/dtype.h"

namespace tramontane {
namespace {

// `threads`: 0 where they are not known; then the process takes what the container may use.
std::string Threads(int threads, const std::string& indent) {
  return threads == 0 ? "" : absl::StrCat(indent, "threads: ", threads, "\n");
}

// Requests are limits for memory: what a pod needs must not be given to others meanwhile.
std::string Resources(int64_t memory_bytes, int threads, const std::string& indent) {
  const std::string memory = absl::StrCat("memory: ", KubernetesQuantity(memory_bytes));
  const std::string cpu = threads == 0 ? "" : absl::StrCat("cpu: ", threads, ", ");
  return absl::StrCat(indent, "resources:\n", indent, "  requests: {", cpu, memory, "}\n", indent,
                      "  limits: {", memory, "}\n");
}

std::string Shard(const CapacityPlan& plan, const ExpertShard& shard) {
  const ExpertBlock& block = shard.block;
  // Quoted: "0-3" and "5" are strings.
  std::string text = absl::StrCat("    - name: ", shard.name, "\n      experts: \"",
                                  IdRange(block.first_expert, block.num_experts), "\"\n");
  if (block.num_layers < plan.request.model.num_layers) {
    absl::StrAppend(&text, "      layers: \"", IdRange(block.first_layer, block.num_layers),
                    "\"\n");
  }
  absl::StrAppend(
      &text, "      replicas: ", plan.request.replicas, "\n",
      Resources(plan.GivenToExpertWorker(shard), plan.request.expert_threads, std::string(6, ' ')));
  return text;
}

}  // namespace

std::string PlanValues(const CapacityPlan& plan) {
  const CapacityRequest& request = plan.request;
  const std::string_view dtype = DTypeName(request.compute_dtype);
  const std::string indent(2, ' ');
  const int coordinator_threads = plan.attention_in_coordinator ? request.attention_threads : 0;
  std::string text = absl::StrCat(
      "# Made by tramontanectl plan, for ", request.users,
      request.users == 1 ? " user of " : " users of ", request.context_tokens,
      " tokens.\n# Where the model is (model.pvc and the like) belongs to another file beside this "
      "one.\nmodel:\n  numLayers: ",
      request.model.num_layers, "\n  numExperts: ", request.model.num_experts,
      "\n  compute: ", absl::string_view(dtype.data(), dtype.size()),
      "\nattention:\n  kvCacheTokens: ", plan.kv_cache_tokens,
      "\n  kvBlockSize: ", request.kv_block_size, "\n  maxStepTokens: ", request.max_step_tokens,
      "\n");
  absl::StrAppend(&text, "coordinator:\n", Threads(coordinator_threads, indent),
                  Resources(plan.GivenToCoordinator(), coordinator_threads, indent),
                  "  extraFlags:\n    max_running_requests: ", plan.users_per_attention,
                  "\n    max_waiting_requests: ", request.max_waiting_requests, "\n");
  absl::StrAppend(&text, "attentionWorkers:\n  replicas: ", plan.num_attention_workers, "\n");
  if (!plan.attention_in_coordinator) {
    absl::StrAppend(&text, Threads(request.attention_threads, indent),
                    Resources(plan.GivenToAttention(), request.attention_threads, indent));
  }
  const std::string gpus =
      request.expert_gpus == 0 ? "" : absl::StrCat("  gpus: ", request.expert_gpus, "\n");
  absl::StrAppend(&text, "expertWorkers:\n", gpus, Threads(request.expert_threads, indent),
                  "  shards:\n");
  for (const ExpertShard& shard : plan.shards) text += Shard(plan, shard);
  return text;
}

}  // namespace tramontane
