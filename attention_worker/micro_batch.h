// A part of a step's rows that goes through the layers by itself, so that attention of one part
// overlaps the experts of the other.
#ifndef TRAMONTANE_ATTENTION_WORKER_MICRO_BATCH_H_
#define TRAMONTANE_ATTENTION_WORKER_MICRO_BATCH_H_

#include <cstdint>
#include <vector>

#include "attention_worker/expert_dispatcher.h"
#include "attention_worker/token_batch.h"
#include "kernels/kv_layout.h"

namespace tramontane {

// Rows [first_row, first_row + num_rows) of a token batch.
struct MicroBatch {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  std::vector<SequenceRows> sequences;  // of these rows; their first_row counts from here
  ExpertDispatcher::Pending experts;    // of the last layer that was begun
};

// `batch` in `count` parts of nearly as many rows, or fewer where it has fewer rows. A sequence may
// be cut: its earlier rows are in the earlier part, which writes the keys and values of a layer
// before the later part reads them.
std::vector<MicroBatch> CutIntoMicroBatches(const TokenBatch& batch, int count);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_MICRO_BATCH_H_
