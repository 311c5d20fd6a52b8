#include "kernels/cpu/operations.h"
#include "kernels/elements.h"

namespace tramontane::cpu {

void EmbedTokens(Context& context, const EmbedTokensArgs& args) {
  const TensorView& embedding = *args.embedding;
  const int64_t n = embedding.shape[1];
  const auto row_bytes = n * static_cast<int64_t>(DTypeSize(embedding.dtype));
  context.pool.ParallelFor(args.num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const std::byte* row = embedding.bytes + args.token_ids[t] * row_bytes;
      float* output = args.hidden_states + t * n;
      if (embedding.dtype != DType::kF16) {
        context.kernels.widen(row, embedding.dtype, n, output);
        continue;
      }
      for (int64_t i = 0; i < n; ++i) output[i] = LoadElement(row, DType::kF16, i);
    }
  });
}

}  // namespace tramontane::cpu
