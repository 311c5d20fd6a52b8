// The reference operations: plain float32 loops, read as definitions, used by tests as the oracle.
#ifndef TRAMONTANE_KERNELS_REFERENCE_OPERATIONS_H_
#define TRAMONTANE_KERNELS_REFERENCE_OPERATIONS_H_

#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"

namespace tramontane::reference {

void EmbedTokens(const EmbedTokensArgs& args);
void RmsNorm(const RmsNormArgs& args);
void MatMul(const MatMulArgs& args, DType compute_dtype);
void RopeAndCache(const RopeAndCacheArgs& args);
void PagedAttention(const PagedAttentionArgs& args);
void RouteTopK(const RouteTopKArgs& args);
void ExpertFfn(const ExpertFfnArgs& args, DType compute_dtype);
void CombineExperts(const CombineExpertsArgs& args);

}  // namespace tramontane::reference

#endif  // TRAMONTANE_KERNELS_REFERENCE_OPERATIONS_H_
