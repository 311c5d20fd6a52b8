// Rows times a packed weight matrix.
#ifndef TRAMONTANE_KERNELS_MATMUL_H_
#define TRAMONTANE_KERNELS_MATMUL_H_

#include <cstdint>

#include "kernels/packed_matrix.h"
#include "model/dtype.h"

namespace tramontane {

// output[r, n] = sum_k input[r, k] * W[n, k], accumulated in float32, k in one fixed order: no bit
// of a row depends on num_rows. With `accumulate` the finished sum is added once to what output
// holds.
struct MatMulArgs {
  const void* input = nullptr;  // [num_rows, in_features], of the backend's compute dtype
  const PackedMatrix* weight = nullptr;
  float* output = nullptr;  // [num_rows, out_features]
  int64_t num_rows = 0;
  bool accumulate = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_MATMUL_H_
