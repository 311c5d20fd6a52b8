// The rows of one step: mixed prefill chunks and decode rows of many sequences.
#ifndef TRAMONTANE_ATTENTION_WORKER_TOKEN_BATCH_H_
#define TRAMONTANE_ATTENTION_WORKER_TOKEN_BATCH_H_

#include <cstdint>
#include <vector>

#include "attention_worker/attention_client.h"
#include "kernels/kv_layout.h"

namespace tramontane {

// A row whose logits are wanted, and what for.
struct LogitRow {
  int32_t row = 0;
  int32_t chunk = 0;
  int32_t target_token_id = -1;  // its log-probability is wanted; -1: none
  bool sample = false;           // a token is to be chosen from it
};

// Chunk after chunk, each chunk's rows in order of position.
struct TokenBatch {
  std::vector<int32_t> token_ids;       // [num_rows]
  std::vector<SequenceRows> sequences;  // [num_chunks]
  std::vector<LogitRow> logit_rows;     // ascending in row, each row at most once

  int64_t num_rows() const { return static_cast<int64_t>(token_ids.size()); }

  // Appends a chunk. `page_table` must stay as it is while the batch runs.
  void Append(const SequenceChunk& chunk, const std::vector<int32_t>& page_table);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_TOKEN_BATCH_H_
