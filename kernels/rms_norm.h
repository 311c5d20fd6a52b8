// RMSNorm (Zhang and Sennrich, 2019), as Llama and Mixtral use it.
#ifndef TRAMONTANE_KERNELS_RMS_NORM_H_
#define TRAMONTANE_KERNELS_RMS_NORM_H_

#include <cstdint>

#include "model/dtype.h"

namespace tramontane {

// output = weight * x / sqrt(mean(x^2) + epsilon), in float32, rounded once to output_dtype.
struct RmsNormArgs {
  const float* input = nullptr;   // [num_tokens, hidden_size]
  const float* weight = nullptr;  // [hidden_size]
  void* output = nullptr;         // [num_tokens, hidden_size] of output_dtype, written
  DType output_dtype = DType::kF32;
  int64_t num_tokens = 0;
  int64_t hidden_size = 0;
  float epsilon = 1e-5f;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_RMS_NORM_H_
