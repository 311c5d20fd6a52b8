// The computation of tasks of one layer together.
#ifndef TRAMONTANE_EXPERT_WORKER_MERGED_BATCH_H_
#define TRAMONTANE_EXPERT_WORKER_MERGED_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "expert_worker/answer_buffers.h"
#include "expert_worker/expert_task.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/expert_ffn.h"

namespace tramontane {

// Reads each expert's weights once for the rows of all tasks. Input rows are read where they are.
// Answers are written to where they go, but for experts that several tasks want: the backend writes
// an expert's rows side by side, so those are copied, once. Not thread-safe: it keeps its lists
// from batch to batch.
class MergedBatch {
 public:
  // `experts` and `buffers` outlive it.
  MergedBatch(const HostedExperts* experts, AnswerBuffers* buffers);

  // `tasks`: of one layer, checked (expert_task_check.h). Appends to `results` one for each task,
  // without times: RESOURCE_EXHAUSTED where there is no memory for its answer, INTERNAL where an
  // expert gave it a row that is not finite, or the backend fails. Every bit is as if the task were
  // computed alone.
  void Compute(std::span<const ExpertTask* const> tasks,
               std::vector<absl::StatusOr<ExpertTaskResult>>* results);

 private:
  // The pairs of one task for one expert.
  struct Segment {
    int32_t expert = 0;
    const int32_t* row_indices = nullptr;    // [num_rows]
    const std::byte* const* rows = nullptr;  // the task's
    size_t num_rows = 0;
    std::byte* answer = nullptr;  // [num_rows, hidden_size], a part of the task's
    std::byte* output = nullptr;  // where the backend writes it: `answer`, or a place to copy from
  };

  // Sets *answer and appends the task's segments.
  absl::Status AddTask(const ExpertTask& task, std::shared_ptr<Buffer>* answer);
  // Points the outputs of the segments of shared experts into one buffer, an expert's side by side.
  // Null where none is shared, or where there is no memory: then weights are read more than once.
  std::shared_ptr<Buffer> GatherSharedExperts();
  // Fails as Backend::Finish.
  absl::Status RunExperts(int layer);

  const HostedExperts* const experts_;
  AnswerBuffers* const buffers_;
  const size_t row_bytes_;

  std::vector<Segment> segments_;         // by expert, then in the order of the tasks
  std::vector<const std::byte*> inputs_;  // [pairs of all segments]
  std::vector<ExpertRows> groups_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_MERGED_BATCH_H_
