#include "coordinator/tramontanectl/placement_table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "coordinator/tramontanectl/table_lines.h"

namespace tramontane {
namespace {

// "12s", "3m20s", "2h5m", "4d3h".
std::string Age(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 60) return absl::StrCat(whole, "s");
  if (whole < 3'600) return absl::StrCat(whole / 60, "m", whole % 60, "s");
  if (whole < 86'400) return absl::StrCat(whole / 3'600, "h", whole % 3'600 / 60, "m");
  return absl::StrCat(whole / 86'400, "d", whole % 86'400 / 3'600, "h");
}

std::string LastError(const std::string& error, double seconds) {
  if (error.empty()) return "-";
  // What a peer sent must not move the terminal's cursor.
  std::string text = error;
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); }, ' ');
  return absl::StrCat(text, " (", Age(seconds), " ago)");
}

std::string Range(uint32_t first, uint32_t last) {
  return first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last);
}

std::string Number(double value) { return value <= 0 ? "-" : absl::StrFormat("%.0f", value); }

std::string ExpertWorkers(const v1::GetPlacementResponse& placement) {
  std::vector<TableRow> rows = {{"EXPERT WORKER", "STATE", "SINCE", "EXPERTS", "OUTSTANDING",
                                 "WORK/S", "SET ASIDE", "KERNELS", "LAST ERROR"}};
  for (const v1::PlacedExpertWorker& worker : placement.expert_workers()) {
    rows.push_back({worker.address(), StateName(worker.state()), Age(worker.state_seconds()),
                    ExpertsText(worker, placement.num_layers()), Number(worker.outstanding_work()),
                    Number(worker.work_per_second()), absl::StrCat(worker.times_set_aside()),
                    worker.backend().empty() ? "-" : worker.backend(),
                    LastError(worker.last_error(), worker.last_error_seconds())});
  }
  const std::string& least = placement.experts_with_min_replicas();
  const std::string replicas =
      placement.min_replicas() == 0
          ? absl::StrCat("  without a worker: ", least)
          : absl::StrCat("  fewest replicas: ", placement.min_replicas(), " (", least, ")");
  return absl::StrCat(TableLines(rows), replicas, "\n");
}

std::string AttentionWorkers(const v1::GetPlacementResponse& placement) {
  std::vector<TableRow> rows = {{"ATTENTION WORKER", "STATE", "SINCE", "SEQUENCES",
                                 "KV BLOCKS USED", "KERNELS", "LAST ERROR"}};
  for (const v1::PlacedAttentionWorker& worker : placement.attention_workers()) {
    rows.push_back({worker.address(), StateName(worker.state()), Age(worker.state_seconds()),
                    absl::StrCat(worker.num_sequences()),
                    absl::StrCat(worker.num_kv_blocks() - worker.num_free_kv_blocks(), " of ",
                                 worker.num_kv_blocks()),
                    worker.backend().empty() ? "-" : worker.backend(),
                    LastError(worker.last_error(), worker.last_error_seconds())});
  }
  return TableLines(rows);
}

}  // namespace

std::string StateName(v1::PlacedWorkerState state) {
  const std::string name = v1::PlacedWorkerState_Name(state);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "PLACED_WORKER_STATE_"));
}

std::string ExpertsText(const v1::PlacedExpertWorker& worker, uint32_t num_layers) {
  std::vector<std::string> parts;
  for (const v1::ExpertRange& range : worker.experts()) {
    const std::string experts = Range(range.first_expert(), range.last_expert());
    const bool all = range.first_layer() == 0 && range.last_layer() + 1 == num_layers;
    parts.push_back(
        all ? experts : absl::StrCat(Range(range.first_layer(), range.last_layer()), ":", experts));
  }
  return parts.empty() ? "-" : absl::StrJoin(parts, ",");
}

std::string PlacementTable(const std::vector<ProcessPlacement>& processes) {
  std::string text;
  for (const ProcessPlacement& process : processes) {
    if (!text.empty()) text += "\n";
    if (!process.error.empty()) {
      absl::StrAppend(&text, process.address, ": ", process.error, "\n");
      continue;
    }
    const v1::GetPlacementResponse& placement = process.placement;
    absl::StrAppend(&text, placement.role(), " ", process.address, ": ", placement.num_layers(),
                    " layers of ", placement.num_experts(), " experts\n");
    if (!placement.attention_workers().empty()) text += AttentionWorkers(placement);
    if (!placement.expert_workers().empty()) text += ExpertWorkers(placement);
    if (placement.attention_workers().empty() && placement.expert_workers().empty()) {
      text += "  no worker is listed\n";
    }
  }
  return text;
}

}  // namespace tramontane
