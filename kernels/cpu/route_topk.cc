#include <algorithm>
#include <vector>

#include "kernels/cpu/operations.h"
#include "model/check.h"

namespace tramontane::cpu {
namespace {

// The top_k largest, the lower id first where two are equal.
void ChooseExperts(const std::vector<float>& probabilities, int64_t top_k, int32_t* expert_ids,
                   float* weights) {
  float sum = 0;
  for (int64_t k = 0; k < top_k; ++k) {
    int32_t best = -1;
    for (int32_t e = 0; e < static_cast<int32_t>(probabilities.size()); ++e) {
      if (std::find(expert_ids, expert_ids + k, e) != expert_ids + k) continue;
      const auto p = [&](int32_t expert) { return probabilities[static_cast<size_t>(expert)]; };
      if (best < 0 || p(e) > p(best)) best = e;
    }
    expert_ids[k] = best;
    weights[k] = probabilities[static_cast<size_t>(best)];
    sum += weights[k];
  }
  for (int64_t k = 0; k < top_k; ++k) weights[k] /= sum;
}

}  // namespace

void RouteTopK(Context& context, const RouteTopKArgs& args) {
  TRAMONTANE_CHECK(0 < args.top_k && args.top_k <= args.num_experts);
  context.pool.ParallelFor(args.num_tokens, 256, [&](int64_t begin, int64_t end, int) {
    std::vector<float> probabilities(static_cast<size_t>(args.num_experts));
    for (int64_t t = begin; t < end; ++t) {
      context.kernels.softmax(args.router_logits + t * args.num_experts, args.num_experts,
                              probabilities.data());
      ChooseExperts(probabilities, args.top_k, args.topk_expert_ids + t * args.top_k,
                    args.gating_weights + t * args.top_k);
    }
  });
}

}  // namespace tramontane::cpu
