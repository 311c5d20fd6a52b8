#include "expert_worker/merged_batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "expert_worker/expert_task_check.h"
#include "model/check.h"

namespace tramontane {

MergedBatch::MergedBatch(const HostedExperts* experts, AnswerBuffers* buffers)
    : experts_(experts),
      buffers_(buffers),
      row_bytes_(static_cast<size_t>(experts->config().hidden_size) *
                 DTypeSize(experts->backend()->compute_dtype())) {}

void MergedBatch::Compute(std::span<const ExpertTask* const> tasks,
                          std::vector<absl::StatusOr<ExpertTaskResult>>* results) {
  segments_.clear();
  const size_t first_result = results->size();
  for (const ExpertTask* task : tasks) {
    TRAMONTANE_CHECK(task->layer == tasks.front()->layer);
    std::shared_ptr<Buffer> answer;
    const absl::Status added = AddTask(*task, &answer);
    if (!added.ok()) {
      results->push_back(added);
      continue;
    }
    ExpertTaskResult& result = *results->emplace_back(ExpertTaskResult());
    result.rows = std::move(answer);
    result.num_rows = static_cast<int64_t>(task->row_indices.size());
  }
  std::stable_sort(
      segments_.begin(), segments_.end(),
      [](const Segment& left, const Segment& right) { return left.expert < right.expert; });
  const std::shared_ptr<Buffer> gathered = GatherSharedExperts();
  const absl::Status run = RunExperts(tasks.front()->layer);
  for (const Segment& segment : segments_) {
    if (segment.output == segment.answer) continue;
    std::memcpy(segment.answer, segment.output, segment.num_rows * row_bytes_);
  }
  for (size_t i = 0; i < tasks.size(); ++i) {
    absl::StatusOr<ExpertTaskResult>& result = (*results)[first_result + i];
    if (!result.ok()) continue;
    const absl::Status sound =
        run.ok() ? CheckAnswer(*tasks[i], result->rows->bytes(), experts_->config().hidden_size)
                 : run;
    if (!sound.ok()) result = sound;
  }
}

absl::Status MergedBatch::AddTask(const ExpertTask& task, std::shared_ptr<Buffer>* answer) {
  absl::StatusOr<std::shared_ptr<Buffer>> taken =
      buffers_->Take(task.row_indices.size() * row_bytes_);
  if (!taken.ok()) return taken.status();
  *answer = *std::move(taken);
  Segment segment;
  segment.row_indices = task.row_indices.data();
  segment.rows = task.rows.data();
  segment.answer = (*answer)->bytes();
  for (size_t i = 0; i < task.expert_ids.size(); ++i) {
    segment.expert = task.expert_ids[i];
    segment.num_rows = static_cast<size_t>(task.rows_per_expert[i]);
    segment.output = segment.answer;
    segments_.push_back(segment);
    segment.row_indices += segment.num_rows;
    segment.answer += segment.num_rows * row_bytes_;
  }
  return absl::OkStatus();
}

std::shared_ptr<Buffer> MergedBatch::GatherSharedExperts() {
  const auto is_shared = [this](size_t i) {
    return (i > 0 && segments_[i - 1].expert == segments_[i].expert) ||
           (i + 1 < segments_.size() && segments_[i + 1].expert == segments_[i].expert);
  };
  size_t num_rows = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (is_shared(i)) num_rows += segments_[i].num_rows;
  }
  if (num_rows == 0) return nullptr;
  absl::StatusOr<std::shared_ptr<Buffer>> gathered = buffers_->Take(num_rows * row_bytes_);
  if (!gathered.ok()) return nullptr;
  std::byte* next = (*gathered)->bytes();
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (!is_shared(i)) continue;
    segments_[i].output = next;
    next += segments_[i].num_rows * row_bytes_;
  }
  return *std::move(gathered);
}

absl::Status MergedBatch::RunExperts(int layer) {
  inputs_.clear();
  for (const Segment& segment : segments_) {
    for (size_t i = 0; i < segment.num_rows; ++i) {
      inputs_.push_back(segment.rows[segment.row_indices[i]]);
    }
  }
  groups_.clear();
  const std::byte* const* input = inputs_.data();
  const Segment* previous = nullptr;
  for (const Segment& segment : segments_) {
    // Side by side as input they always are.
    if (previous != nullptr && previous->expert == segment.expert &&
        previous->output + previous->num_rows * row_bytes_ == segment.output) {
      ExpertRows& group = groups_.back();
      group.input = std::span(group.input.data(), group.input.size() + segment.num_rows);
    } else {
      groups_.push_back({experts_->Find(layer, segment.expert), std::span(input, segment.num_rows),
                         segment.output});
    }
    input += segment.num_rows;
    previous = &segment;
  }
  if (groups_.empty()) return absl::OkStatus();
  ExpertFfnArgs args;
  args.groups = groups_;
  experts_->backend()->ExpertFfn(args);
  return experts_->backend()->Finish();
}

}  // namespace tramontane
