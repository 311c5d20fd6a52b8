// Grouped-query causal attention over a paged KV cache, without quadratic memory (online softmax as
// in FlashAttention, Dao et al., 2022).
#ifndef TRAMONTANE_KERNELS_PAGED_ATTENTION_H_
#define TRAMONTANE_KERNELS_PAGED_ATTENTION_H_

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/kv_layout.h"
#include "model/dtype.h"

namespace tramontane {

// For each row at position p: softmax(q k / sqrt(head_dim)) v over the keys at positions (p -
// window, p] of its sequence, with sums in float32; a backend that computes in bf16 may round
// queries and the softmax's weights to it (docs/numerics.md). Keys are taken in tiles at absolute
// positions, in order, so that no bit of a row depends on how its prompt was cut into chunks, on
// block_size, or on other rows.
struct PagedAttentionArgs {
  const float* qkv = nullptr;  // [num_tokens, (num_heads + 2 * num_kv_heads) * head_dim], q rotated
  int64_t num_heads = 0;
  std::optional<int> sliding_window;  // absent: all earlier positions
  KvLayer cache;                      // the rows' own keys and values already in it
  std::span<const SequenceRows> sequences;
  int64_t num_tokens = 0;
  void* output = nullptr;  // [num_tokens, num_heads * head_dim] of output_dtype, written
  DType output_dtype = DType::kF32;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_PAGED_ATTENTION_H_
