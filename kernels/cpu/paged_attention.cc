#include <algorithm>

#include "kernels/cpu/memory_size.h"
#include "kernels/cpu/operations.h"
#include "model/check.h"

namespace tramontane::cpu {
namespace {

// A task has fewer queries (rows times the heads of a group) than would be best where threads would
// be left without work.
constexpr int64_t kLeastQueries = 32;
constexpr int64_t kTasksPerThread = 4;

int64_t RowsPerTask(const PagedAttentionArgs& args, int64_t queries, int64_t num_threads) {
  while (queries > kLeastQueries &&
         args.num_tokens * args.num_heads < queries * kTasksPerThread * num_threads) {
    queries /= 2;
  }
  return std::max<int64_t>(1, queries / (args.num_heads / args.cache.num_kv_heads));
}

struct RowRange {
  const SequenceRows* sequence;
  int64_t begin, end;  // rows of the sequence
};

std::vector<RowRange> CutIntoRanges(std::span<const SequenceRows> sequences, int64_t rows) {
  std::vector<RowRange> ranges;
  for (const SequenceRows& sequence : sequences) {
    for (int64_t r = 0; r < sequence.num_rows; r += rows) {
      ranges.push_back({&sequence, r, std::min(sequence.num_rows, r + rows)});
    }
  }
  return ranges;
}

AttentionTask MakeTask(const PagedAttentionArgs& args, const RowRange& range, int64_t kv_head) {
  const KvLayer& cache = args.cache;
  const int64_t d = cache.head_dim;
  const int64_t slot_bytes = d * static_cast<int64_t>(DTypeSize(cache.dtype));
  const int64_t row = range.sequence->first_row + range.begin;
  AttentionTask task;
  task.group_size = args.num_heads / cache.num_kv_heads;
  task.qkv_stride = (args.num_heads + 2 * cache.num_kv_heads) * d;
  task.qkv = args.qkv + row * task.qkv_stride + kv_head * task.group_size * d;
  task.num_rows = range.end - range.begin;
  task.first_position = range.sequence->first_position + range.begin;
  task.head_dim = d;
  task.window = args.sliding_window.value_or(0);
  task.keys = cache.keys + kv_head * cache.block_size * slot_bytes;
  task.values = cache.values + kv_head * cache.block_size * slot_bytes;
  task.cache_dtype = cache.dtype;
  task.block_stride = cache.num_kv_heads * cache.block_size * slot_bytes;
  task.block_size = cache.block_size;
  task.page_table = range.sequence->page_table.data();
  task.output_stride = args.num_heads * d;
  task.output_dtype = args.output_dtype;
  task.output = static_cast<std::byte*>(args.output) +
                (row * task.output_stride + kv_head * task.group_size * d) *
                    static_cast<int64_t>(DTypeSize(args.output_dtype));
  return task;
}

}  // namespace

void PagedAttention(Context& context, const PagedAttentionArgs& args) {
  const KvLayer& cache = args.cache;
  TRAMONTANE_CHECK(args.num_heads % cache.num_kv_heads == 0);
  TRAMONTANE_CHECK(cache.block_size > 0 && cache.block_size % kKvTile == 0);
  TRAMONTANE_CHECK(!args.sliding_window || *args.sliding_window > 0);
  const int64_t group_size = args.num_heads / cache.num_kv_heads;
  const int64_t num_threads = context.pool.num_threads();
  const IsaKernels& kernels = context.kernels;
  const bool is_bf16 = context.compute_dtype == DType::kBF16 && cache.dtype == DType::kBF16;
  const auto attend_task = is_bf16 ? kernels.attend_bf16 : kernels.attend;
  const int64_t rows_per_task = RowsPerTask(
      args, is_bf16 ? kernels.attend_bf16_queries : kernels.attend_queries, num_threads);
  const std::vector<RowRange> ranges = CutIntoRanges(args.sequences, rows_per_task);
  const int64_t scratch_bytes =
      AttentionScratchBytes(num_threads, rows_per_task * group_size, cache.head_dim);
  auto* scratch = reinterpret_cast<float*>(context.thread_floats.Reserve(scratch_bytes));
  const int64_t floats_per_thread =
      scratch_bytes / num_threads / static_cast<int64_t>(sizeof(float));
  const auto num_ranges = static_cast<int64_t>(ranges.size());
  // The last rows of a sequence see the most keys: they go first, so that no thread ends late.
  const auto attend = [&](int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t range = num_ranges - 1 - i / cache.num_kv_heads;
      AttentionTask task =
          MakeTask(args, ranges[static_cast<size_t>(range)], i % cache.num_kv_heads);
      task.scratch = scratch + thread * floats_per_thread;
      attend_task(task);
    }
  };
  context.pool.ParallelFor(num_ranges * cache.num_kv_heads, 1, attend);
}

}  // namespace tramontane::cpu
