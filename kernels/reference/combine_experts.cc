#include "kernels/elements.h"
#include "kernels/reference/operations.h"

namespace tramontane::reference {

void CombineExperts(const CombineExpertsArgs& args) {
  for (int64_t t = 0; t < args.num_tokens; ++t) {
    for (int64_t i = 0; i < args.hidden_size; ++i) {
      float moe = 0;
      for (int64_t r = t * args.top_k; r < (t + 1) * args.top_k; ++r) {
        moe += args.gating_weights[r] * LoadElement(args.expert_rows[r], args.row_dtype, i);
      }
      args.residual[t * args.hidden_size + i] += moe;
      if (args.moe_output != nullptr) args.moe_output[t * args.hidden_size + i] = moe;
    }
  }
}

}  // namespace tramontane::reference
