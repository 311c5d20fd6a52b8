#include "attention_worker/micro_batch.h"

#include <algorithm>

namespace tramontane {

std::vector<MicroBatch> CutIntoMicroBatches(const TokenBatch& batch, int count) {
  const int64_t num_rows = batch.num_rows();
  const int64_t num_parts = std::min<int64_t>(count, num_rows);
  std::vector<MicroBatch> parts(static_cast<size_t>(num_parts));
  for (int64_t i = 0; i < num_parts; ++i) {
    MicroBatch& part = parts[static_cast<size_t>(i)];
    part.first_row = num_rows * i / num_parts;
    part.num_rows = num_rows * (i + 1) / num_parts - part.first_row;
    for (const SequenceRows& sequence : batch.sequences) {
      const int64_t begin = std::max(sequence.first_row, part.first_row);
      const int64_t end =
          std::min(sequence.first_row + sequence.num_rows, part.first_row + part.num_rows);
      if (begin >= end) continue;
      SequenceRows rows = sequence;
      rows.first_row = begin - part.first_row;
      rows.num_rows = end - begin;
      rows.first_position += begin - sequence.first_row;
      part.sequences.push_back(rows);
    }
  }
  return parts;
}

}  // namespace tramontane
