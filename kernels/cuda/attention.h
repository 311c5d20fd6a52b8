// What the kernels of paged attention take.
#ifndef TRAMONTANE_KERNELS_CUDA_ATTENTION_H_
#define TRAMONTANE_KERNELS_CUDA_ATTENTION_H_

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/kv_layout.h"

namespace tramontane::cuda {

inline constexpr int64_t kMaxBf16HeadDim = 128;
// Of a row of partial results, at most.
inline constexpr int64_t kPartialBytes =
    kMaxBf16HeadDim * static_cast<int64_t>(sizeof(float)) + static_cast<int64_t>(sizeof(float2));

struct Attention {
  const float* qkv = nullptr;  // [num_tokens, (num_heads + 2 * num_kv_heads) * head_dim]
  void* output = nullptr;      // [num_tokens, num_heads * head_dim] of output_dtype
  DType output_dtype = DType::kF32;
  KvLayer cache;
  int num_heads = 0;
  int group = 0;    // heads that share keys and values
  int window = 0;   // positions; no window: more than there are
  float scale = 0;  // 1 / sqrt(head_dim)
  // Of the batch's plan.
  const PlannedRow* rows = nullptr;
  const int32_t* pages = nullptr;
  const PlannedQueries* many = nullptr;
  int num_many = 0;
  // A slice of the plan's few queries; of each a row for each split: values' sums [kDim], then
  // maximum and weight.
  const PlannedQueries* few = nullptr;
  int num_few = 0;
  int max_splits = 0;
  float* partial_sums = nullptr;
  float2* partial_stats = nullptr;
};

// Products in bf16: head_dim a multiple of 8, at most kMaxBf16HeadDim, over a cache in bf16. `few`
// are queries of decode rows and short chunks, `many` those of long ones; the bits of a row are the
// same.
void AttendFew(Context& context, const Attention& args);
void AttendMany(Context& context, const Attention& args);
// In float32, one warp a row and head: any cache, head_dim up to kMaxHeadDim.
inline constexpr int kMaxHeadDim = 256;
void AttendInFloat(Context& context, const Attention& args, int64_t num_tokens);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_ATTENTION_H_
