// The operations of kernels/*.h on a CUDA device. Each queues kernels on the context's stream.
#ifndef TRAMONTANE_KERNELS_CUDA_OPERATIONS_H_
#define TRAMONTANE_KERNELS_CUDA_OPERATIONS_H_

#include "kernels/arg_max.h"
#include "kernels/combine_experts.h"
#include "kernels/cuda/context.h"
#include "kernels/embed_tokens.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "kernels/sample_tokens.h"

namespace tramontane::cuda {

void EmbedTokens(Context& context, const EmbedTokensArgs& args);
void RmsNorm(Context& context, const RmsNormArgs& args);
void MatMul(Context& context, const MatMulArgs& args);
void RopeAndCache(Context& context, const RopeAndCacheArgs& args);
void PagedAttention(Context& context, const PagedAttentionArgs& args);
void RouteTopK(Context& context, const RouteTopKArgs& args);
void ExpertFfn(Context& context, const ExpertFfnArgs& args);
void RoutedExperts(Context& context, const RoutedExpertsArgs& args);
void CombineExperts(Context& context, const CombineExpertsArgs& args);
void ArgMax(Context& context, const ArgMaxArgs& args);
void SampleTokens(Context& context, const SampleTokensArgs& args);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_OPERATIONS_H_
