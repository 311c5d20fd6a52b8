#include "kernels/cpu/operations.h"
#include "model/check.h"

namespace tramontane::cpu {

void CombineExperts(Context& context, const CombineExpertsArgs& args) {
  TRAMONTANE_CHECK(args.row_dtype != DType::kF16);
  const int64_t n = args.hidden_size;
  context.pool.ParallelFor(args.num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      context.kernels.combine(args.expert_rows + t * args.top_k, args.row_dtype,
                              args.gating_weights + t * args.top_k, args.top_k, n,
                              args.residual + t * n,
                              args.moe_output == nullptr ? nullptr : args.moe_output + t * n);
    }
  });
}

}  // namespace tramontane::cpu
