#include "kernels/cpu/operations.h"
#include "kernels/kv_slot.h"

namespace tramontane::cpu {

void RopeAndCache(Context& context, const RopeAndCacheArgs& args) {
  const KvLayer& cache = args.cache;
  const int64_t d = cache.head_dim;
  const int64_t row_size = (args.num_heads + 2 * cache.num_kv_heads) * d;
  RotaryTable& table = context.rotary;
  table.Prepare(args, &context.pool);
  context.pool.ParallelFor(args.num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      float* q = args.qkv + row * row_size;
      float* k = q + args.num_heads * d;
      const float* v = k + cache.num_kv_heads * d;
      for (int64_t h = 0; h < args.num_heads + cache.num_kv_heads; ++h) {
        context.kernels.rotate(table.cosines(row), table.sines(row), d / 2, q + h * d);
      }
      const std::span<const int32_t> page_table = table.sequence(args, row).page_table;
      for (int64_t h = 0; h < cache.num_kv_heads; ++h) {
        const int64_t offset = KvSlotOffset(cache, page_table, h, table.position(row));
        context.kernels.store(k + h * d, d, cache.keys + offset, cache.dtype);
        context.kernels.store(v + h * d, d, cache.values + offset, cache.dtype);
      }
    }
  });
}

}  // namespace tramontane::cpu
