#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 32;

__device__ __forceinline__ bool Contains(const int32_t* ids, int64_t count, int64_t id) {
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] == id) return true;
  }
  return false;
}

// A thread a token: there are few experts.
__global__ void __launch_bounds__(kThreads) RouteTopKKernel(const RouteTopKArgs args) {
  LetNextStart();
  AwaitPrevious();
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (token >= args.num_tokens) return;
  const float* const logits = args.router_logits + token * args.num_experts;
  int32_t* const ids = args.topk_expert_ids + token * args.top_k;
  float* const weights = args.gating_weights + token * args.top_k;
  float max_logit = logits[0];
  for (int64_t e = 1; e < args.num_experts; ++e) max_logit = fmaxf(max_logit, logits[e]);
  float sum = 0;
  for (int64_t e = 0; e < args.num_experts; ++e) sum += expf(logits[e] - max_logit);
  float chosen_sum = 0;
  for (int64_t k = 0; k < args.top_k; ++k) {
    int64_t best = -1;
    float best_probability = 0;
    for (int64_t e = 0; e < args.num_experts; ++e) {
      if (Contains(ids, k, e)) continue;
      const float probability = __fdiv_rn(expf(logits[e] - max_logit), sum);
      if (best >= 0 && !(probability > best_probability)) continue;
      best = e;
      best_probability = probability;
    }
    ids[k] = static_cast<int32_t>(best);
    weights[k] = best_probability;
    chosen_sum += best_probability;
  }
  for (int64_t k = 0; k < args.top_k; ++k) weights[k] = __fdiv_rn(weights[k], chosen_sum);
}

}  // namespace

void RouteTopK(Context& context, const RouteTopKArgs& args) {
  TRAMONTANE_CHECK(0 < args.top_k && args.top_k <= args.num_experts);
  Launch(context, "RouteTopK", Blocks(DivideUp(args.num_tokens, kThreads), kThreads),
         &RouteTopKKernel, args);
}

}  // namespace tramontane::cuda
