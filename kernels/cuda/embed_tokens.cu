#include <cstring>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

// Elements [first, first + kWidth) of the table; aligned to all of them where they are several.
template <int kWidth>
__device__ __forceinline__ Elements<float, kWidth> LoadEmbedding(const std::byte* table,
                                                                 DType dtype, int64_t first) {
  Elements<float, kWidth> values;
  if constexpr (kWidth == 1) {
    values.at[0] = LoadElement(table, dtype, first);
  } else if (dtype == DType::kF32) {
    values = LoadFloats<kWidth>(reinterpret_cast<const float*>(table) + first);
  } else {
    const auto bits = *reinterpret_cast<const Elements<uint16_t, kWidth>*>(table + first * 2);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      values.at[i] = dtype == DType::kBF16 ? WidenBf16(bits.at[i]) : WidenHalf(bits.at[i]);
    }
  }
  return values;
}

// Blocks of threads along x take a token each, along y a part of its row.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    EmbedTokensKernel(const std::byte* table, DType dtype, int64_t hidden_size,
                      const int32_t* token_ids, float* hidden_states) {
  LetNextStart();
  AwaitPrevious();
  const int64_t row = token_ids[blockIdx.x] * hidden_size;
  float* const output = hidden_states + blockIdx.x * hidden_size;
  const int64_t i = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kWidth;
  if (i < hidden_size) StoreFloats(output + i, LoadEmbedding<kWidth>(table, dtype, row + i));
}

}  // namespace

void EmbedTokens(Context& context, const EmbedTokensArgs& args) {
  if (args.num_tokens == 0) return;
  int32_t* const token_ids = context.StageArray<int32_t>(args.num_tokens);
  std::memcpy(token_ids, args.token_ids, static_cast<size_t>(args.num_tokens) * sizeof(int32_t));
  const TensorView& table = *args.embedding;
  const int64_t hidden_size = table.shape[1];
  const auto addresses =
      reinterpret_cast<uintptr_t>(table.bytes) | reinterpret_cast<uintptr_t>(args.hidden_states);
  const bool vectors = hidden_size % 4 == 0 && addresses % 16 == 0;
  LaunchShape shape = Blocks(args.num_tokens, kThreads);
  shape.grid.y = DivideUp(hidden_size / (vectors ? 4 : 1), kThreads);
  Launch(context, "EmbedTokens", shape, vectors ? &EmbedTokensKernel<4> : &EmbedTokensKernel<1>,
         table.bytes, table.dtype, hidden_size, token_ids, args.hidden_states);
}

}  // namespace tramontane::cuda
