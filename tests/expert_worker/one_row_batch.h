// Small batches that may have large answers.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_ONE_ROW_BATCH_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_ONE_ROW_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "proto/expert.pb.h"
#include "tests/expert_worker/fixtures.h"

namespace tramontane {

// Of the golden checkpoints.
inline constexpr int kHiddenSize = 64;

// `num_pairs` times one float32 row of one expert.
inline v1::ExpertBatch OneRowBatch(uint64_t id, int num_pairs) {
  v1::ExpertBatch batch;
  batch.set_batch_id(id);
  batch.set_row_format(v1::ROW_FORMAT_F32);
  batch.set_num_rows(1);
  batch.add_expert_ids(2);
  batch.add_rows_per_expert(static_cast<uint32_t>(num_pairs));
  for (int i = 0; i < num_pairs; ++i) batch.add_row_indices(0);
  const std::vector<std::byte> row = MakeRows(1, kHiddenSize, DType::kF32, 1);
  batch.set_rows(std::string(reinterpret_cast<const char*>(row.data()), row.size()));
  return batch;
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_ONE_ROW_BATCH_H_
