// Embedding look-up: the first thing that happens to a token.
#ifndef TRAMONTANE_KERNELS_EMBED_TOKENS_H_
#define TRAMONTANE_KERNELS_EMBED_TOKENS_H_

#include <cstdint>

#include "model/tensor_view.h"

namespace tramontane {

// Copies, for each row, one row of the embedding table, widened to float32.
struct EmbedTokensArgs {
  const TensorView* embedding = nullptr;  // [vocab_size, hidden_size]: an EmbeddingTable's view
  const int32_t* token_ids = nullptr;     // [num_tokens], each in [0, vocab_size)
  float* hidden_states = nullptr;         // [num_tokens, hidden_size], written
  int64_t num_tokens = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_EMBED_TOKENS_H_
