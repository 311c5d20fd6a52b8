#include "kernels/elements.h"
#include "kernels/reference/operations.h"
#include "kernels/reference/packed.h"

namespace tramontane::reference {

void MatMul(const MatMulArgs& args, DType compute_dtype) {
  const auto& weight = static_cast<const RowMajorMatrix&>(*args.weight);
  const int64_t num_k = weight.in_features();
  const int64_t num_n = weight.out_features();
  for (int64_t r = 0; r < args.num_rows; ++r) {
    for (int64_t n = 0; n < num_n; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < num_k; ++k) {
        sum += LoadElement(args.input, compute_dtype, r * num_k + k) * weight.row(n)[k];
      }
      float& output = args.output[r * num_n + n];
      output = args.accumulate ? output + sum : sum;
    }
  }
}

}  // namespace tramontane::reference
