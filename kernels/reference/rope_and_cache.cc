#include "kernels/elements.h"
#include "kernels/kv_slot.h"
#include "kernels/reference/operations.h"
#include "kernels/rotary_angles.h"

namespace tramontane::reference {
namespace {

// Rotates the pairs (i, i + head_dim / 2) of one head: the rotate-half form.
void Rotate(const std::vector<float>& cosines, const std::vector<float>& sines, float* head) {
  const size_t half = cosines.size();
  for (size_t i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

}  // namespace

void RopeAndCache(const RopeAndCacheArgs& args) {
  const KvLayer& cache = args.cache;
  const int64_t d = cache.head_dim;
  const int64_t row_size = (args.num_heads + 2 * cache.num_kv_heads) * d;
  const std::vector<float> frequencies = InverseFrequencies(args.rope_theta, d);
  std::vector<float> cosines(frequencies.size());
  std::vector<float> sines(frequencies.size());
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t r = 0; r < sequence.num_rows; ++r) {
      const int64_t position = sequence.first_position + r;
      RotaryAngles(frequencies, position, cosines.data(), sines.data());
      float* q = args.qkv + (sequence.first_row + r) * row_size;
      float* k = q + args.num_heads * d;
      const float* v = k + cache.num_kv_heads * d;
      for (int64_t h = 0; h < args.num_heads; ++h) Rotate(cosines, sines, q + h * d);
      for (int64_t h = 0; h < cache.num_kv_heads; ++h) {
        Rotate(cosines, sines, k + h * d);
        const int64_t offset = KvSlotOffset(cache, sequence.page_table, h, position);
        for (int64_t i = 0; i < d; ++i) {
          StoreElement(cache.keys + offset, cache.dtype, i, k[h * d + i]);
          StoreElement(cache.values + offset, cache.dtype, i, v[h * d + i]);
        }
      }
    }
  }
}

}  // namespace tramontane::reference
