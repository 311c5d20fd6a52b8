#include <cstring>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/kv_pages.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/rotary_angles.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 128;
static_assert(kMaxHeadDim / 2 <= kThreads);
// From here on rows alone fill the device.
constexpr int64_t kManyRows = 256;

struct Rotation {
  float* qkv;
  const float* inverse_frequencies;  // [head_dim / 2]
  const PlannedRow* rows;
  const int32_t* pages;
  KvLayer cache;
  int64_t num_heads;
};

// A head of q (rotated), of k (rotated and cached) or of v (cached): elements [i, i + kWidth) of
// its first half, and those that turn with them. `slot`: where the first KV head of the position
// lies.
template <int kWidth>
__device__ __forceinline__ void RotateHead(const Rotation& args, float* x, int head, int i,
                                           const float* cosines, const float* sines, int64_t slot) {
  const KvLayer& cache = args.cache;
  const int half = static_cast<int>(cache.head_dim) / 2;
  const auto num_heads = static_cast<int>(args.num_heads);
  const auto num_kv_heads = static_cast<int>(cache.num_kv_heads);
  const bool is_value = head >= num_heads + num_kv_heads;
  Elements<float, kWidth> a = LoadFloats<kWidth>(x + i), b = LoadFloats<kWidth>(x + half + i);
  if (!is_value) {
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float first = a.at[e], second = b.at[e];
      a.at[e] = first * cosines[e] - second * sines[e];
      b.at[e] = second * cosines[e] + first * sines[e];
    }
    StoreFloats(x + i, a);
    StoreFloats(x + half + i, b);
  }
  if (head < num_heads) return;
  const int kv_head = head - num_heads - (is_value ? num_kv_heads : 0);
  std::byte* const cached = is_value ? cache.values : cache.keys;
  const int64_t first = slot + kv_head * cache.block_size * cache.head_dim + i;
  StoreElements(cached, cache.dtype, first, a);
  StoreElements(cached, cache.dtype, first + half, b);
}

// Blocks of threads along x take a row each; its heads, as many at once as there are threads for,
// are dealt to those along y. A thread's angles, which copies alone are the source of, serve all of
// its heads.
template <int kWidth>
__global__ void __launch_bounds__(kThreads) RopeAndCacheKernel(const Rotation args) {
  LetNextStart();
  const KvLayer& cache = args.cache;
  const auto head_dim = static_cast<int>(cache.head_dim);
  const auto heads_of_row = static_cast<int>(args.num_heads + 2 * cache.num_kv_heads);
  const int threads_of_head = head_dim / 2 / kWidth, heads_at_once = kThreads / threads_of_head;
  const int thread = static_cast<int>(threadIdx.x);
  const int own_head = thread / threads_of_head, i = thread % threads_of_head * kWidth;
  const int64_t row = blockIdx.x;
  const PlannedRow planned = args.rows[row];
  const int64_t slot = KvElement(cache, args.pages + planned.first_page, 0, planned.position);
  float cosines[kWidth], sines[kWidth];
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const float angle = static_cast<float>(planned.position) * args.inverse_frequencies[i + e];
    cosines[e] = cosf(angle);
    sines[e] = sinf(angle);
  }
  AwaitPrevious();
  if (own_head >= heads_at_once) return;
  float* const first_head = args.qkv + row * heads_of_row * head_dim;
  const auto step = static_cast<int>(gridDim.y) * heads_at_once;
  for (int head = static_cast<int>(blockIdx.y) * heads_at_once + own_head; head < heads_of_row;
       head += step) {
    RotateHead<kWidth>(args, first_head + head * head_dim, head, i, cosines, sines, slot);
  }
}

template <int kWidth>
void Run(Context& context, const Rotation& rotation, int64_t num_tokens) {
  const int64_t heads_at_once = kThreads / (rotation.cache.head_dim / 2 / kWidth);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(num_tokens));
  if (num_tokens < kManyRows) {
    shape.grid.y = DivideUp(rotation.num_heads + 2 * rotation.cache.num_kv_heads, heads_at_once);
  }
  shape.block = dim3(kThreads);
  Launch(context, "RopeAndCache", shape, &RopeAndCacheKernel<kWidth>, rotation);
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
  TRAMONTANE_CHECK(args.cache.head_dim <= kMaxHeadDim);
  PrepareFrequencies(context, args.rope_theta, args.cache.head_dim);
  const BatchPlan plan =
      context.plans.Prepare(context, args.sequences, args.num_tokens, args.num_heads, args.cache);
  const Rotation rotation = {
      args.qkv,   reinterpret_cast<const float*>(context.inverse_frequencies.bytes()),
      plan.rows,  plan.pages,
      args.cache, args.num_heads};
  const auto addresses = reinterpret_cast<uintptr_t>(args.qkv) |
                         reinterpret_cast<uintptr_t>(args.cache.keys) |
                         reinterpret_cast<uintptr_t>(args.cache.values);
  if (addresses % 16 == 0 && args.cache.head_dim % 8 == 0) {
    Run<4>(context, rotation, args.num_tokens);
  } else {
    Run<1>(context, rotation, args.num_tokens);
  }
}

}  // namespace tramontane::cuda
