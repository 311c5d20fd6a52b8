#include <cmath>

#include "kernels/elements.h"
#include "kernels/reference/operations.h"

namespace tramontane::reference {

void RmsNorm(const RmsNormArgs& args) {
  const int64_t n = args.hidden_size;
  for (int64_t t = 0; t < args.num_tokens; ++t) {
    const float* x = args.input + t * n;
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
    const float scale = 1.0f / std::sqrt(sum / static_cast<float>(n) + args.epsilon);
    for (int64_t i = 0; i < n; ++i) {
      StoreElement(args.output, args.output_dtype, t * n + i, args.weight[i] * (x[i] * scale));
    }
  }
}

}  // namespace tramontane::reference
