#include "kernels/elements.h"
#include "kernels/reference/operations.h"

namespace tramontane::reference {

void EmbedTokens(const EmbedTokensArgs& args) {
  const TensorView& embedding = *args.embedding;
  const int64_t hidden_size = embedding.shape[1];
  for (int64_t t = 0; t < args.num_tokens; ++t) {
    for (int64_t i = 0; i < hidden_size; ++i) {
      args.hidden_states[t * hidden_size + i] =
          LoadElement(embedding.bytes, embedding.dtype, args.token_ids[t] * hidden_size + i);
    }
  }
}

}  // namespace tramontane::reference
