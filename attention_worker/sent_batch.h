// A batch on its way to one worker.
#ifndef TRAMONTANE_ATTENTION_WORKER_SENT_BATCH_H_
#define TRAMONTANE_ATTENTION_WORKER_SENT_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/answer_box.h"
#include "attention_worker/dispatch_plan.h"
#include "attention_worker/dispatch_terms.h"

namespace tramontane {

struct SentBatch {
  PlannedBatch planned;
  std::vector<int32_t> covers;  // its slots but those that others were asked for as well, since it
                                // is silent
  absl::Time time;
  absl::Duration silence_limit;
  absl::Time silent_at;
  absl::Time hedge_at = absl::InfiniteFuture();
  bool answered = false;
  bool silent = false;
};

// A layer's rows, and where the answers go.
struct LayerRows {
  int layer = 0;
  const std::byte* rows = nullptr;  // [num_tokens, hidden_size] of the terms' row_dtype
  std::shared_ptr<AnswerBox> box;
};

// Copies the batch's rows together and hands it to its client, to be answered by the earlier of
// `deadline` and the terms' timeout; the answer goes into the box under `index`. Keeps the account
// of the worker's load. RESOURCE_EXHAUSTED where the copy cannot have its memory.
absl::StatusOr<SentBatch> SendBatch(DispatchTerms& terms, const LayerRows& rows,
                                    absl::Time deadline, PlannedBatch planned, size_t index);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_SENT_BATCH_H_
