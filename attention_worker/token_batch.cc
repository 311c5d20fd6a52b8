#include "attention_worker/token_batch.h"

namespace tramontane {

void TokenBatch::Append(const SequenceChunk& chunk, const std::vector<int32_t>& page_table) {
  const auto chunk_index = static_cast<int32_t>(sequences.size());
  const auto first_row = static_cast<int32_t>(token_ids.size());
  const auto num_chunk_rows = static_cast<int32_t>(chunk.token_ids.size());
  sequences.push_back({.first_row = first_row,
                       .num_rows = num_chunk_rows,
                       .first_position = chunk.first_position,
                       .page_table = page_table});
  token_ids.insert(token_ids.end(), chunk.token_ids.begin(), chunk.token_ids.end());
  for (int32_t i = 0; i < num_chunk_rows; ++i) {
    const int32_t target = chunk.target_token_ids.empty() ? -1 : chunk.target_token_ids[i];
    const bool sample = chunk.sample && i == num_chunk_rows - 1;
    if (target >= 0 || sample) logit_rows.push_back({first_row + i, chunk_index, target, sample});
  }
}

}  // namespace tramontane
