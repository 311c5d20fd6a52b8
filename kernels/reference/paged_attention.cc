#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/elements.h"
#include "kernels/kv_slot.h"
#include "kernels/reference/operations.h"

namespace tramontane::reference {
namespace {

// One query head at `position`: the softmax over all visible keys at once.
void Attend(const PagedAttentionArgs& args, const SequenceRows& sequence, int64_t position,
            int64_t kv_head, const float* query, int64_t output_index) {
  const KvLayer& cache = args.cache;
  const int64_t d = cache.head_dim;
  const int64_t first =
      args.sliding_window ? std::max<int64_t>(0, position - *args.sliding_window + 1) : 0;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  std::vector<float> scores;
  for (int64_t p = first; p <= position; ++p) {
    const std::byte* key = cache.keys + KvSlotOffset(cache, sequence.page_table, kv_head, p);
    float dot = 0;
    for (int64_t i = 0; i < d; ++i) dot += query[i] * LoadElement(key, cache.dtype, i);
    scores.push_back(dot * scale);
  }
  const float max_score = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) sum += score = std::exp(score - max_score);
  std::vector<float> output(static_cast<size_t>(d), 0.0f);
  for (int64_t p = first; p <= position; ++p) {
    const std::byte* value = cache.values + KvSlotOffset(cache, sequence.page_table, kv_head, p);
    const float weight = scores[static_cast<size_t>(p - first)] / sum;
    for (int64_t i = 0; i < d; ++i) {
      output[static_cast<size_t>(i)] += weight * LoadElement(value, cache.dtype, i);
    }
  }
  for (int64_t i = 0; i < d; ++i) {
    StoreElement(args.output, args.output_dtype, output_index + i, output[static_cast<size_t>(i)]);
  }
}

}  // namespace

void PagedAttention(const PagedAttentionArgs& args) {
  const int64_t d = args.cache.head_dim;
  const int64_t row_size = (args.num_heads + 2 * args.cache.num_kv_heads) * d;
  const int64_t group_size = args.num_heads / args.cache.num_kv_heads;
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t r = 0; r < sequence.num_rows; ++r) {
      const int64_t row = sequence.first_row + r;
      for (int64_t h = 0; h < args.num_heads; ++h) {
        Attend(args, sequence, sequence.first_position + r, h / group_size,
               args.qkv + row * row_size + h * d, (row * args.num_heads + h) * d);
      }
    }
  }
}

}  // namespace tramontane::reference
