#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ void AddSum(const CombineExpertsArgs& args, int64_t index, float moe) {
  args.residual[index] += moe;
  if (args.moe_output != nullptr) args.moe_output[index] = moe;
}

// Eight elements at a time, of rows of bf16 that are aligned to 16 bytes.
__device__ __forceinline__ void CombineVector(const CombineExpertsArgs& args, int64_t token,
                                              int64_t vector) {
  float moe[8] = {};
  for (int64_t r = token * args.top_k; r < (token + 1) * args.top_k; ++r) {
    const uint4 row = reinterpret_cast<const uint4*>(args.expert_rows[r])[vector];
    const float weight = args.gating_weights[r];
    const uint32_t words[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t bits = i % 2 == 0 ? words[i / 2] & 0xffffu : words[i / 2] >> 16;
      moe[i] = fmaf(weight, WidenBf16(bits), moe[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) AddSum(args, token * args.hidden_size + vector * 8 + i, moe[i]);
}

// A block of threads a token; `args.expert_rows` is staged.
__global__ void __launch_bounds__(kThreads)
    CombineExpertsKernel(const CombineExpertsArgs args, bool vectors) {
  const int64_t token = blockIdx.x;
  if (vectors) {
    for (int64_t i = threadIdx.x; i < args.hidden_size / 8; i += kThreads) {
      CombineVector(args, token, i);
    }
    return;
  }
  for (int64_t i = threadIdx.x; i < args.hidden_size; i += kThreads) {
    float moe = 0;
    for (int64_t r = token * args.top_k; r < (token + 1) * args.top_k; ++r) {
      moe = fmaf(args.gating_weights[r], LoadElement(args.expert_rows[r], args.row_dtype, i), moe);
    }
    AddSum(args, token * args.hidden_size + i, moe);
  }
}

}  // namespace

void CombineExperts(Context& context, const CombineExpertsArgs& args) {
  const int64_t num_rows = args.num_tokens * args.top_k;
  if (num_rows == 0) return;
  const int64_t row_bytes = args.hidden_size * static_cast<int64_t>(DTypeSize(args.row_dtype));
  const auto** const rows = context.StageArray<const std::byte*>(num_rows);
  uintptr_t addresses = 0;
  for (int64_t r = 0; r < num_rows; ++r) {
    rows[r] = ReadableRow(context, args.expert_rows[r], row_bytes);
    addresses |= reinterpret_cast<uintptr_t>(rows[r]);
  }
  CombineExpertsArgs staged = args;
  staged.expert_rows = rows;
  const bool vectors =
      args.row_dtype == DType::kBF16 && args.hidden_size % 8 == 0 && addresses % 16 == 0;
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(args.num_tokens));
  shape.block = dim3(kThreads);
  Launch(context, "CombineExperts", shape, &CombineExpertsKernel, staged, vectors);
}

}  // namespace tramontane::cuda
