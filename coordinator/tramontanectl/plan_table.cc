#include "coordinator/tramontanectl/plan_table.h"

#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "coordinator/tramontanectl/table_lines.h"
#include "model/dtype.h"

namespace tramontane {
namespace {

std::string Column(std::string_view name) {
  return absl::AsciiStrToUpper(absl::string_view(name.data(), name.size()));
}

std::string ExpertsOf(const ExpertBlock& block) {
  return IdRange(block.first_expert, block.num_experts);
}

void AddMemory(const ProcessMemory& memory, int64_t given, TableRow* row) {
  for (const MemoryItem& item : memory.items) row->push_back(BytesText(item.bytes));
  row->push_back(BytesText(memory.total()));
  row->push_back(BytesText(given));
}

// "expert worker" columns are the same for all shards.
std::string ExpertWorkers(const CapacityPlan& plan) {
  TableRow header = {"EXPERT SHARD", "REPLICAS", "LAYERS", "EXPERTS"};
  for (const MemoryItem& item : plan.shards.front().memory.items) {
    header.push_back(Column(item.name));
  }
  header.insert(header.end(), {"NEEDS", "GIVE"});
  std::vector<TableRow> rows = {header};
  for (const ExpertShard& shard : plan.shards) {
    TableRow row = {shard.name, absl::StrCat(plan.request.replicas),
                    IdRange(shard.block.first_layer, shard.block.num_layers),
                    ExpertsOf(shard.block)};
    AddMemory(shard.memory, plan.GivenToExpertWorker(shard), &row);
    rows.push_back(row);
  }
  return TableLines(rows);
}

// One process a column, because their items differ in number from the experts'.
std::string Process(const std::string& name, const ProcessMemory& memory, int64_t given) {
  std::vector<TableRow> rows = {{name, ""}};
  for (const MemoryItem& item : memory.items) {
    rows.push_back({absl::StrCat("  ", absl::string_view(item.name.data(), item.name.size())),
                    BytesText(item.bytes)});
  }
  rows.push_back({"  needs", BytesText(memory.total())});
  rows.push_back({"  give", BytesText(given)});
  return TableLines(rows);
}

std::string Heading(const CapacityPlan& plan) {
  const MixtralConfig& model = plan.request.model;
  const std::string_view dtype = DTypeName(plan.request.compute_dtype);
  return absl::StrCat(model.num_layers, " layers of ", model.num_experts, " experts, top-",
                      model.top_k, ", hidden ", model.hidden_size, ", intermediate ",
                      model.intermediate_size, "; ", absl::string_view(dtype.data(), dtype.size()),
                      "; ", plan.request.users, plan.request.users == 1 ? " user" : " users",
                      " of ", plan.request.context_tokens, " tokens\n\n");
}

std::string Attention(const CapacityPlan& plan) {
  std::string text;
  if (!plan.attention_in_coordinator) {
    absl::StrAppend(
        &text,
        Process(absl::StrCat("ATTENTION WORKER, ", plan.num_attention_workers, " of them"),
                plan.attention, plan.GivenToAttention()),
        "\n");
  }
  absl::StrAppend(&text, Process("COORDINATOR", plan.coordinator, plan.GivenToCoordinator()));
  return text;
}

std::string Flags(const CapacityPlan& plan) {
  const std::string compute = plan.request.compute_dtype == DType::kF32 ? " --compute=f32" : "";
  const std::string step = absl::StrCat(" --max_step_tokens=", plan.request.max_step_tokens,
                                        " --kv_block_size=", plan.request.kv_block_size);
  const std::string cache = absl::StrCat(" --kv_cache_tokens=", plan.kv_cache_tokens);
  std::string text = "  flags:\n";
  for (const ExpertShard& shard : plan.shards) {
    absl::StrAppend(&text, "    expert_worker", compute,
                    " --experts=", ExpertsFlag(shard.block, plan.request.model.num_layers), "\n");
  }
  if (!plan.attention_in_coordinator) {
    absl::StrAppend(&text, "    attention_worker", compute, step, cache, "\n");
  }
  absl::StrAppend(&text, "    coordinator", compute, step,
                  plan.attention_in_coordinator ? cache : "",
                  " --max_running_requests=", plan.users_per_attention,
                  " --max_waiting_requests=", plan.request.max_waiting_requests, "\n");
  return text;
}

std::string Totals(const CapacityPlan& plan) {
  const int64_t processes = 1 + plan.num_attention_workers + plan.num_expert_workers;
  int64_t given = plan.GivenToCoordinator() + plan.num_attention_workers * plan.GivenToAttention();
  for (const ExpertShard& shard : plan.shards) {
    given += plan.request.replicas * plan.GivenToExpertWorker(shard);
  }
  std::string text = absl::StrCat("  total: ", processes, " processes, ", plan.num_expert_workers,
                                  " of them expert workers; need ",
                                  BytesText(plan.total_memory_bytes), ", give ", BytesText(given));
  if (plan.request.expert_threads > 0 && plan.request.attention_threads > 0) {
    const int64_t attention_processes =
        plan.attention_in_coordinator ? 1 : plan.num_attention_workers;
    absl::StrAppend(&text, "; ",
                    plan.num_expert_workers * plan.request.expert_threads +
                        attention_processes * plan.request.attention_threads,
                    " cores that compute");
  }
  return text + "\n";
}

}  // namespace

std::string ExpertsFlag(const ExpertBlock& block, int num_layers) {
  if (block.num_layers == num_layers) return ExpertsOf(block);
  return absl::StrCat(IdRange(block.first_layer, block.num_layers), ":", ExpertsOf(block));
}

std::string PlanTable(const CapacityPlan& plan, const std::vector<DecodeBound>& bounds) {
  const int64_t token_bytes = KvBytesPerToken(plan.request.model, plan.request.compute_dtype);
  std::string text = absl::StrCat(Heading(plan), ExpertWorkers(plan), "\n", Attention(plan), "\n");
  absl::StrAppend(&text, "  KV cache: ", plan.kv_cache_tokens, " tokens of ", token_bytes,
                  " bytes in each process that runs attention, for ", plan.users_per_attention,
                  plan.users_per_attention == 1 ? " user\n" : " users\n");
  absl::StrAppend(&text, Totals(plan), Flags(plan));
  for (const DecodeBound& bound : bounds) {
    absl::StrAppend(&text,
                    absl::StrFormat("  decode, %d of the users at once: at most %.1f tokens/s, by "
                                    "reads alone (%.2f GB of experts, %.2f GB of attention a "
                                    "step)\n",
                                    bound.users, bound.tokens_per_second, bound.expert_bytes / 1e9,
                                    bound.attention_bytes / 1e9));
  }
  return text;
}

}  // namespace tramontane
