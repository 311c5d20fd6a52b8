#include "expert_worker/expert_task_check.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "kernels/finite_rows.h"

namespace tramontane {
namespace {

absl::Status CheckSizes(const ExpertTask& task, int max_batch_rows) {
  if (task.expert_ids.empty() || task.rows_per_expert.size() != task.expert_ids.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expert_ids has ", task.expert_ids.size(), " entries and rows_per_expert ",
                     task.rows_per_expert.size(), "; expected equally many, at least one"));
  }
  if (task.row_indices.size() > static_cast<size_t>(max_batch_rows)) {
    return absl::InvalidArgumentError(absl::StrCat("row_indices has ", task.row_indices.size(),
                                                   " entries; a batch may have ", max_batch_rows,
                                                   "; send several batches"));
  }
  int64_t pairs = 0;
  for (size_t i = 0; i < task.rows_per_expert.size(); ++i) {
    if (task.rows_per_expert[i] <= 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "rows_per_expert[", i, "] is ", task.rows_per_expert[i], "; expected at least 1"));
    }
    pairs += task.rows_per_expert[i];
  }
  if (pairs != static_cast<int64_t>(task.row_indices.size())) {
    return absl::InvalidArgumentError(absl::StrCat("rows_per_expert sums to ", pairs,
                                                   ", row_indices has ", task.row_indices.size(),
                                                   " entries; expected equality"));
  }
  return absl::OkStatus();
}

absl::Status CheckIds(const ExpertTask& task, const HostedExperts& experts) {
  const MixtralConfig& config = experts.config();
  if (task.layer < 0 || task.layer >= config.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat("layer is ", task.layer, "; the checkpoint has ",
                                                   "layers 0 to ", config.num_layers - 1));
  }
  for (const int32_t expert : task.expert_ids) {
    if (expert < 0 || expert >= config.num_experts) {
      return absl::InvalidArgumentError(absl::StrCat("expert ", expert,
                                                     " is out of range; the checkpoint has experts "
                                                     "0 to ",
                                                     config.num_experts - 1));
    }
    if (experts.Find(task.layer, expert) == nullptr) {
      return absl::NotFoundError(absl::StrCat("expert ", expert, " of layer ", task.layer,
                                              " is not hosted here; see Describe"));
    }
  }
  const int64_t num_rows = static_cast<int64_t>(task.rows.size());
  for (size_t i = 0; i < task.row_indices.size(); ++i) {
    if (task.row_indices[i] < 0 || task.row_indices[i] >= num_rows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "row_indices[", i, "] is ", task.row_indices[i], "; the batch has ", num_rows, " rows"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckExpertTask(const ExpertTask& task, const HostedExperts& experts,
                             int max_batch_rows) {
  const DType compute_dtype = experts.backend()->compute_dtype();
  if (task.row_dtype != compute_dtype) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rows are ", DTypeName(task.row_dtype).data(), ", this worker computes in ",
        DTypeName(compute_dtype).data(), "; start both sides with the same --compute"));
  }
  const absl::Status sizes = CheckSizes(task, max_batch_rows);
  if (!sizes.ok()) return sizes;
  return CheckIds(task, experts);
}

absl::Status CheckRows(const ExpertTask& task, int64_t hidden_size) {
  for (size_t i = 0; i < task.rows.size(); ++i) {
    if (!RowIsFinite(task.rows[i], hidden_size, task.row_dtype)) {
      return absl::InvalidArgumentError(
          absl::StrCat("row ", i, " of layer ", task.layer, " holds an infinity or a NaN"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAnswer(const ExpertTask& task, const std::byte* answer, int64_t hidden_size) {
  const int64_t row_bytes = hidden_size * static_cast<int64_t>(DTypeSize(task.row_dtype));
  for (size_t group = 0; group < task.expert_ids.size(); ++group) {
    for (int32_t i = 0; i < task.rows_per_expert[group]; ++i, answer += row_bytes) {
      if (!RowIsFinite(answer, hidden_size, task.row_dtype)) {
        return absl::InternalError(absl::StrCat("expert ", task.expert_ids[group], " of layer ",
                                                task.layer,
                                                " gave an infinity or a NaN for finite rows; are "
                                                "its weights finite?"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tramontane
