#include "kernels/paged_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/operations.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

// `attention.few`: all of the plan's.
void AttendSlice(Context& context, const FewSlice& slice, Attention attention) {
  const int64_t max_partials =
      std::max(context.max_partial_bytes / kPartialBytes, slice.num_partials);
  std::byte* const partials = context.partials.Reserve(context, max_partials * kPartialBytes);
  attention.few += slice.first;
  attention.num_few = slice.count;
  attention.max_splits = slice.max_splits;
  attention.partial_sums = reinterpret_cast<float*>(partials);
  attention.partial_stats =
      reinterpret_cast<float2*>(attention.partial_sums + max_partials * kMaxBf16HeadDim);
  AttendFew(context, attention);
}

}  // namespace

void PagedAttention(Context& context, const PagedAttentionArgs& args) {
  if (args.num_tokens == 0) return;
  const KvLayer& cache = args.cache;
  TRAMONTANE_CHECK(cache.head_dim <= kMaxHeadDim);
  Attention attention;
  attention.qkv = args.qkv;
  attention.output = args.output;
  attention.output_dtype = args.output_dtype;
  attention.cache = cache;
  attention.num_heads = static_cast<int>(args.num_heads);
  attention.group = static_cast<int>(args.num_heads / cache.num_kv_heads);
  attention.window = args.sliding_window.value_or(std::numeric_limits<int>::max());
  attention.scale = 1.0f / std::sqrt(static_cast<float>(cache.head_dim));
  const BatchPlan plan =
      context.plans.Prepare(context, args.sequences, args.num_tokens, args.num_heads, cache);
  attention.rows = plan.rows;
  attention.pages = plan.pages;
  attention.many = plan.many;
  attention.num_many = plan.num_many;
  attention.few = plan.few;
  const bool in_bf16 = context.compute_dtype == DType::kBF16 && cache.dtype == DType::kBF16 &&
                       cache.head_dim % 8 == 0 && cache.head_dim <= kMaxBf16HeadDim;
  if (!in_bf16) {
    AttendInFloat(context, attention, args.num_tokens);
    return;
  }
  for (const FewSlice& slice : plan.few_slices) AttendSlice(context, slice, attention);
  if (plan.num_many > 0) AttendMany(context, attention);
}

}  // namespace tramontane::cuda
