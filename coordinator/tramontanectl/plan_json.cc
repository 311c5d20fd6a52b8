#include "coordinator/tramontanectl/plan_json.h"

#include <nlohmann/json.hpp>

#include "attention_worker/kv_cache/kv_cache.h"
#include "coordinator/tramontanectl/plan_table.h"
#include "model/dtype.h"

namespace tramontane {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const ProcessMemory& memory, int64_t given) {
  Json items = Json::object();
  for (const MemoryItem& item : memory.items) items[std::string(item.name)] = item.bytes;
  return {{"items", std::move(items)}, {"needs", memory.total()}, {"give", given}};
}

Json ToJson(const CapacityPlan& plan, const ExpertShard& shard) {
  const ExpertBlock& block = shard.block;
  return {{"name", shard.name},
          {"experts_flag", ExpertsFlag(block, plan.request.model.num_layers)},
          {"first_layer", block.first_layer},
          {"num_layers", block.num_layers},
          {"first_expert", block.first_expert},
          {"num_experts", block.num_experts},
          {"replicas", plan.request.replicas},
          {"memory", ToJson(shard.memory, plan.GivenToExpertWorker(shard))}};
}

}  // namespace

std::string PlanJson(const CapacityPlan& plan, const std::vector<DecodeBound>& bounds) {
  const CapacityRequest& request = plan.request;
  Json json = {{"compute", std::string(DTypeName(request.compute_dtype))},
               {"users", request.users},
               {"context_tokens", request.context_tokens},
               {"expert_shards", Json::array()},
               {"num_expert_workers", plan.num_expert_workers},
               {"attention_in_coordinator", plan.attention_in_coordinator},
               {"num_attention_workers", plan.num_attention_workers},
               {"users_per_attention", plan.users_per_attention},
               {"kv_cache_tokens", plan.kv_cache_tokens},
               {"kv_bytes_per_token", KvBytesPerToken(request.model, request.compute_dtype)}};
  for (const ExpertShard& shard : plan.shards) json["expert_shards"].push_back(ToJson(plan, shard));
  if (!plan.attention_in_coordinator) {
    json["attention_worker"] = ToJson(plan.attention, plan.GivenToAttention());
  }
  json["coordinator"] = ToJson(plan.coordinator, plan.GivenToCoordinator());
  json["total_memory"] = plan.total_memory_bytes;
  if (!bounds.empty()) json["decode_bounds"] = Json::array();
  for (const DecodeBound& bound : bounds) {
    json["decode_bounds"].push_back({{"users", bound.users},
                                     {"expert_bytes", bound.expert_bytes},
                                     {"attention_bytes", bound.attention_bytes},
                                     {"step_seconds", bound.step_seconds},
                                     {"tokens_per_second", bound.tokens_per_second}});
  }
  return json.dump(2) + "\n";
}

}  // namespace tramontane
