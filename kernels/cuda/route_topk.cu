#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 32;

// A thread a token: there are few experts. What it knows of them lies in shared memory, in a column
// of its own, where an expert that is chosen gets a negative probability.
__global__ void __launch_bounds__(kThreads) RouteTopKKernel(const RouteTopKArgs args) {
  LetNextStart();
  AwaitPrevious();
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (token >= args.num_tokens) return;
  const auto num_experts = static_cast<int>(args.num_experts);
  const auto top_k = static_cast<int>(args.top_k);
  const float* const logits = args.router_logits + token * num_experts;
  float* const own = reinterpret_cast<float*>(DynamicShared()) + threadIdx.x;
  float* const chosen = own + num_experts * kThreads;
  float max_logit = logits[0];
#pragma unroll 8
  for (int e = 0; e < num_experts; ++e) {
    own[e * kThreads] = logits[e];
    max_logit = fmaxf(max_logit, own[e * kThreads]);
  }
  float sum = 0;
#pragma unroll 8
  for (int e = 0; e < num_experts; ++e) {
    own[e * kThreads] = expf(own[e * kThreads] - max_logit);
    sum += own[e * kThreads];
  }
#pragma unroll 8
  for (int e = 0; e < num_experts; ++e) own[e * kThreads] = __fdiv_rn(own[e * kThreads], sum);
  float chosen_sum = 0;
  for (int k = 0; k < top_k; ++k) {
    int best = -1;
    float best_probability = 0;
#pragma unroll 8
    for (int e = 0; e < num_experts; ++e) {
      const float probability = own[e * kThreads];
      if (probability < 0) continue;
      if (best >= 0 && !(probability > best_probability)) continue;
      best = e;
      best_probability = probability;
    }
    own[best * kThreads] = -1;
    chosen[k * kThreads] = best_probability;
    chosen_sum += best_probability;
    args.topk_expert_ids[token * top_k + k] = best;
  }
  for (int k = 0; k < top_k; ++k) {
    args.gating_weights[token * top_k + k] = __fdiv_rn(chosen[k * kThreads], chosen_sum);
  }
}

}  // namespace

void RouteTopK(Context& context, const RouteTopKArgs& args) {
  TRAMONTANE_CHECK(0 < args.top_k && args.top_k <= args.num_experts);
  TRAMONTANE_CHECK(args.num_experts + args.top_k <= 768);  // of shared memory, on any device
  LaunchShape shape = Blocks(DivideUp(args.num_tokens, kThreads), kThreads);
  shape.shared_bytes =
      sizeof(float) * kThreads * static_cast<size_t>(args.num_experts + args.top_k);
  Launch(context, "RouteTopK", shape, &RouteTopKKernel, args);
}

}  // namespace tramontane::cuda
