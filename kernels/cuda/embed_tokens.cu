#include <cstring>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;

// A block of threads a token.
__global__ void __launch_bounds__(kThreads)
    EmbedTokensKernel(const std::byte* table, DType dtype, int64_t hidden_size,
                      const int32_t* token_ids, float* hidden_states) {
  LetNextStart();
  AwaitPrevious();
  const int64_t first = token_ids[blockIdx.x] * hidden_size;
  float* const output = hidden_states + blockIdx.x * hidden_size;
  for (int64_t i = threadIdx.x; i < hidden_size; i += kThreads) {
    output[i] = LoadElement(table, dtype, first + i);
  }
}

}  // namespace

void EmbedTokens(Context& context, const EmbedTokensArgs& args) {
  if (args.num_tokens == 0) return;
  int32_t* const token_ids = context.StageArray<int32_t>(args.num_tokens);
  std::memcpy(token_ids, args.token_ids, static_cast<size_t>(args.num_tokens) * sizeof(int32_t));
  Launch(context, "EmbedTokens", Blocks(args.num_tokens, kThreads), &EmbedTokensKernel,
         args.embedding->bytes, args.embedding->dtype, args.embedding->shape[1], token_ids,
         args.hidden_states);
}

}  // namespace tramontane::cuda
