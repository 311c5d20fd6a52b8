#include <cstring>
#include <vector>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/kv_pages.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/rotary_angles.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 128;

struct Rotation {
  float* qkv;
  const float* inverse_frequencies;  // [head_dim / 2]
  const PlannedRow* rows;
  const int32_t* pages;
  KvLayer cache;
  int64_t num_heads;
};

// One head of q (rotated), of k (rotated and cached) or of v (cached), by a block of threads each.
__global__ void __launch_bounds__(kThreads) RopeAndCacheKernel(const Rotation args) {
  LetNextStart();
  AwaitPrevious();
  const KvLayer& cache = args.cache;
  const auto head_dim = static_cast<int>(cache.head_dim), half = head_dim / 2;
  const int64_t heads_of_row = args.num_heads + 2 * cache.num_kv_heads;
  const int64_t row = blockIdx.x, head = blockIdx.y;
  const PlannedRow planned = args.rows[row];
  float* const x = args.qkv + (row * heads_of_row + head) * head_dim;
  const int64_t kv_head = (head - args.num_heads) % cache.num_kv_heads;
  const bool is_query = head < args.num_heads;
  const bool is_value = head >= args.num_heads + cache.num_kv_heads;
  std::byte* const cached = is_value ? cache.values : cache.keys;
  const int64_t slot =
      is_query ? 0 : KvElement(cache, args.pages + planned.first_page, kv_head, planned.position);
  for (int i = threadIdx.x; i < half; i += kThreads) {
    float a = x[i], b = x[i + half];
    if (!is_value) {
      const float angle = static_cast<float>(planned.position) * args.inverse_frequencies[i];
      const float cosine = cosf(angle), sine = sinf(angle);
      const float first = a;
      a = a * cosine - b * sine;
      b = b * cosine + first * sine;
      x[i] = a;
      x[i + half] = b;
    }
    if (is_query) continue;
    StoreElement(cached, cache.dtype, slot + i, a);
    StoreElement(cached, cache.dtype, slot + i + half, b);
  }
}

// Makes the context's frequencies those of the model.
void PrepareFrequencies(Context& context, double rope_theta, int64_t head_dim) {
  if (context.rope_theta == rope_theta && context.head_dim == head_dim) return;
  const std::vector<float> frequencies = InverseFrequencies(rope_theta, head_dim);
  const size_t num_bytes = frequencies.size() * sizeof(float);
  std::byte* const bytes =
      context.inverse_frequencies.Reserve(context, static_cast<int64_t>(num_bytes));
  if (context.failed()) return;
  context.rope_theta = rope_theta;
  context.head_dim = head_dim;
  std::byte* const staged = context.Stage(static_cast<int64_t>(num_bytes));
  std::memcpy(staged, frequencies.data(), num_bytes);
  context.QueueCopy("copying rotary frequencies", bytes, staged, num_bytes);
}

}  // namespace

void RopeAndCache(Context& context, const RopeAndCacheArgs& args) {
  if (args.num_tokens == 0) return;
  PrepareFrequencies(context, args.rope_theta, args.cache.head_dim);
  const BatchPlan plan =
      context.plans.Prepare(context, args.sequences, args.num_tokens, args.num_heads, args.cache);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(args.num_tokens),
                    static_cast<unsigned>(args.num_heads + 2 * args.cache.num_kv_heads));
  shape.block = dim3(kThreads);
  Launch(context, "RopeAndCache", shape, &RopeAndCacheKernel,
         Rotation{args.qkv, reinterpret_cast<const float*>(context.inverse_frequencies.bytes()),
                  plan.rows, plan.pages, args.cache, args.num_heads});
}

}  // namespace tramontane::cuda
