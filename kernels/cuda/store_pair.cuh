// What a product's kernels do with finished sums.
#ifndef TRAMONTANE_KERNELS_CUDA_STORE_PAIR_CUH_
#define TRAMONTANE_KERNELS_CUDA_STORE_PAIR_CUH_

#include <cstdint>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {

struct Bf16Output {
  using Element = uint16_t;
  static __device__ __forceinline__ Element Round(float value) {
    return static_cast<uint16_t>(PackBf16(value, 0.0f));
  }
};

struct FloatOutput {
  using Element = float;
  static __device__ __forceinline__ Element Round(float value) { return value; }
};

__device__ __forceinline__ float Silu(float x) { return __fdiv_rn(x, 1.0f + expf(-x)); }

// The sums of output features g (`low`) and g + 8 (`high`) of a tile, g in [0, 8), for one row.
// `first` is the element of the output where the row begins.
template <Epilogue kEpilogue, typename Output>
__device__ __forceinline__ void StorePairAt(const Product& product, int tile, int g, int64_t first,
                                            float low, float high) {
  if constexpr (kEpilogue == Epilogue::kSwiGlu) {
    const int column = tile * 8 + g;
    if (column >= product.num_columns) return;
    static_cast<typename Output::Element*>(product.output)[first + column] =
        Output::Round(Silu(low) * high);
  } else {
    for (int half = 0; half < 2; ++half) {
      const int column = tile * 16 + g + 8 * half;
      if (column >= product.num_columns) return;
      const float sum = half == 0 ? low : high;
      if constexpr (kEpilogue == Epilogue::kStore) {
        static_cast<typename Output::Element*>(product.output)[first + column] = Output::Round(sum);
      } else {
        float* const output = static_cast<float*>(product.output) + first + column;
        *output = kEpilogue == Epilogue::kAddFloat ? *output + sum : sum;
      }
    }
  }
}

template <Epilogue kEpilogue, typename Output>
__device__ __forceinline__ void StorePair(const Product& product, int tile, int g, int row,
                                          float low, float high) {
  const int64_t first =
      (product.output_rows == nullptr ? row : product.output_rows[row]) * product.output_stride;
  StorePairAt<kEpilogue, Output>(product, tile, g, first, low, high);
}

// Calls `run` with the epilogue as a template argument.
template <typename Run>
void WithEpilogue(Epilogue epilogue, const Run& run) {
  switch (epilogue) {
    case Epilogue::kStoreFloat:
      return run.template operator()<Epilogue::kStoreFloat>();
    case Epilogue::kAddFloat:
      return run.template operator()<Epilogue::kAddFloat>();
    case Epilogue::kStore:
      return run.template operator()<Epilogue::kStore>();
    case Epilogue::kSwiGlu:
      return run.template operator()<Epilogue::kSwiGlu>();
  }
}

// The same for those of experts, kSwiGlu and kStore.
template <typename Run>
void WithExpertEpilogue(Epilogue epilogue, const Run& run) {
  if (epilogue == Epilogue::kSwiGlu) return run.template operator()<Epilogue::kSwiGlu>();
  return run.template operator()<Epilogue::kStore>();
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_STORE_PAIR_CUH_
