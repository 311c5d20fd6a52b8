// Rotary position embedding (Su et al., 2021; the rotate-half form of GPT-NeoX and Hugging Face) of
// queries and keys, and the write of keys and values into the paged cache.
#ifndef TRAMONTANE_KERNELS_ROPE_AND_CACHE_H_
#define TRAMONTANE_KERNELS_ROPE_AND_CACHE_H_

#include <cstdint>
#include <span>

#include "kernels/kv_layout.h"

namespace tramontane {

// Rotates q in place, rotates k, and writes k and v, rounded to the cache's dtype, to their slots.
struct RopeAndCacheArgs {
  float* qkv =
      nullptr;  // [num_tokens, (num_heads + 2 * num_kv_heads) * head_dim]: q, k, v side by side
  int64_t num_heads = 0;
  double rope_theta = 1e6;
  KvLayer cache;
  std::span<const SequenceRows> sequences;  // cover all num_tokens rows
  int64_t num_tokens = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ROPE_AND_CACHE_H_
