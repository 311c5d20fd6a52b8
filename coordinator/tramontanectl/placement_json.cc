#include "coordinator/tramontanectl/placement_json.h"

#include <nlohmann/json.hpp>

namespace tramontane {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const v1::PlacedExpertWorker& worker) {
  Json experts = Json::array();
  for (const v1::ExpertRange& range : worker.experts()) {
    experts.push_back({{"first_layer", range.first_layer()},
                       {"last_layer", range.last_layer()},
                       {"first_expert", range.first_expert()},
                       {"last_expert", range.last_expert()}});
  }
  return {{"address", worker.address()},
          {"state", StateName(worker.state())},
          {"state_seconds", worker.state_seconds()},
          {"last_error", worker.last_error()},
          {"last_error_seconds", worker.last_error_seconds()},
          {"backend", worker.backend()},
          {"experts", std::move(experts)},
          {"times_set_aside", worker.times_set_aside()},
          {"outstanding_work", worker.outstanding_work()},
          {"work_per_second", worker.work_per_second()}};
}

Json ToJson(const v1::PlacedAttentionWorker& worker) {
  return {{"address", worker.address()},
          {"state", StateName(worker.state())},
          {"state_seconds", worker.state_seconds()},
          {"last_error", worker.last_error()},
          {"last_error_seconds", worker.last_error_seconds()},
          {"backend", worker.backend()},
          {"num_sequences", worker.num_sequences()},
          {"num_kv_blocks", worker.num_kv_blocks()},
          {"num_free_kv_blocks", worker.num_free_kv_blocks()}};
}

Json ToJson(const ProcessPlacement& process) {
  Json json = {{"address", process.address}};
  if (!process.error.empty()) {
    json["error"] = process.error;
    return json;
  }
  const v1::GetPlacementResponse& placement = process.placement;
  json["role"] = placement.role();
  json["num_layers"] = placement.num_layers();
  json["num_experts"] = placement.num_experts();
  json["attention_workers"] = Json::array();
  for (const auto& worker : placement.attention_workers()) {
    json["attention_workers"].push_back(ToJson(worker));
  }
  json["expert_workers"] = Json::array();
  for (const auto& worker : placement.expert_workers()) {
    json["expert_workers"].push_back(ToJson(worker));
  }
  if (!placement.expert_workers().empty()) {
    json["min_replicas"] = placement.min_replicas();
    json["experts_with_min_replicas"] = placement.experts_with_min_replicas();
  }
  return json;
}

}  // namespace

std::string PlacementJson(const std::vector<ProcessPlacement>& processes) {
  Json json = {{"processes", Json::array()}};
  for (const ProcessPlacement& process : processes) json["processes"].push_back(ToJson(process));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tramontane
