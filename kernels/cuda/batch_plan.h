// Which rows of a batch belong to which sequence, as kernels read it.
#ifndef TRAMONTANE_KERNELS_CUDA_BATCH_PLAN_H_
#define TRAMONTANE_KERNELS_CUDA_BATCH_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/scratch.h"
#include "kernels/kv_layout.h"

namespace tramontane::cuda {

// Attention reads keys in tiles of this many absolute positions, and starts its softmax anew at
// every multiple of kSplitPositions; the splits' results are merged in order.
inline constexpr int kTilePositions = 64;
inline constexpr int kSplitPositions = 256;
// Rows of queries that a warp takes at once, and a block of threads in long chunks.
inline constexpr int kWarpQueries = 16;
inline constexpr int kBlockQueries = 64;

// One row of the batch.
struct PlannedRow {
  int32_t position;
  int32_t first_page;  // of its sequence, in `pages`
};

// Some queries of one sequence. Query q of a sequence is head q % group of its row q / group, where
// a group is the heads that share keys and values.
struct PlannedQueries {
  int32_t first_row;       // of the sequence, in the batch
  int32_t first_position;  // of that row
  int32_t
      last_position;   // of the sequence's rows in this batch: what lies behind is not cached yet
  int32_t first_page;  // of the sequence, in `pages`
  int32_t first_query;
  int32_t num_queries;
  int32_t num_splits;     // up to the last query's position
  int32_t first_partial;  // of the slice's partial results: [num_kv_heads, num_splits, num_queries]
};

// Elements of `few` whose partial results are held at once.
struct FewSlice {
  int first = 0;
  int count = 0;
  int max_splits = 0;        // of one of them
  int64_t num_partials = 0;  // rows
};

// On the device. Few queries: at most kWarpQueries each, for blocks that take a split. Many: at
// most kBlockQueries each, for blocks that take all splits.
struct BatchPlan {
  const PlannedRow* rows = nullptr;  // [num_rows]
  const int32_t* pages = nullptr;
  const PlannedQueries* few = nullptr;
  const PlannedQueries* many = nullptr;
  int num_many = 0;
  std::span<const FewSlice> few_slices;  // in the host's memory, until the next Prepare
};

// The plans of the last few batches. Layers come with the same batch one after the other, so that
// most calls find theirs and upload nothing.
class BatchPlans {
 public:
  BatchPlan Prepare(Context& context, std::span<const SequenceRows> sequences, int64_t num_rows,
                    int64_t num_heads, const KvLayer& cache);

 private:
  // On the device, unless its content is large.
  static constexpr int64_t kSlotBytes = int64_t{4} << 20;
  struct Slot {
    using Sizes = std::array<size_t, 4>;  // rows, few, many, KV heads

    std::vector<std::byte> content;
    BatchPlan plan;
    std::vector<FewSlice> few_slices;
    Scratch memory{"allocating a batch's plan"};
    Sizes sizes = {};
    int64_t last_used = 0;
    int64_t num_uses = 0;  // of this content
  };

  // That of a plan alike of the step before, so that the plan of a decode's next step lies where
  // the last one did and kernels' parameters stay; else the one that was used the longest ago.
  Slot& FindPlace(const Slot::Sizes& sizes);

  // Two micro-batches take turns; a third and a fourth are for batches of their last layers.
  std::array<Slot, 4> slots_;
  int64_t clock_ = 0;
  std::vector<std::byte> content_;  // of the batch in hand
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_BATCH_PLAN_H_
