// The next token of each row of logits, drawn without a copy of the row to the host.
#ifndef TRAMONTANE_KERNELS_SAMPLE_TOKENS_H_
#define TRAMONTANE_KERNELS_SAMPLE_TOKENS_H_

#include <cstdint>

namespace tramontane {

// How one row's token is drawn, applied in this order: temperature, top-k, top-p, min-p.
struct TokenSampling {
  uint64_t random = 0;       // 53 random bits
  float temperature = 1.0f;  // at least 0; 0: the greatest logit
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;        // in (0, 1]; 1: off
  float min_p = 0.0f;        // in [0, 1]; 0: off
};

// ids[r] = the token of row r; -1 where the row holds an infinity or a NaN. Each token weighs what
// sampling_weight.h says; top-k keeps the likeliest, top-p the likeliest that together reach that
// share of what top-k left, min-p what weighs at least so much of the greatest; of those that are
// left, in the order of their ids, the one is drawn that holds the unit DrawnUnit of all their
// weight. In integers, so every backend draws the same token from the same row.
struct SampleTokensArgs {
  const float* rows = nullptr;              // [num_rows, num_columns]
  const TokenSampling* sampling = nullptr;  // [num_rows], a list in the host's memory
  int32_t* ids = nullptr;                   // [num_rows], written
  int64_t num_rows = 0;
  int64_t num_columns = 0;  // at least 1, below 2^23
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_SAMPLE_TOKENS_H_
