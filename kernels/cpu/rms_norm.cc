#include "kernels/cpu/operations.h"

namespace tramontane::cpu {

void RmsNorm(Context& context, const RmsNormArgs& args) {
  const int64_t n = args.hidden_size;
  const auto row_bytes = n * static_cast<int64_t>(DTypeSize(args.output_dtype));
  context.pool.ParallelFor(args.num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      context.kernels.rms_norm(args.input + t * n, args.weight, n, args.epsilon,
                               static_cast<std::byte*>(args.output) + t * row_bytes,
                               args.output_dtype);
    }
  });
}

}  // namespace tramontane::cpu
