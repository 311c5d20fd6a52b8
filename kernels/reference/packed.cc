#include "kernels/reference/packed.h"

#include "kernels/elements.h"
#include "model/check.h"

namespace tramontane::reference {

absl::StatusOr<std::unique_ptr<RowMajorMatrix>> RowMajorMatrix::Make(
    std::span<const TensorView> stacked, DType compute_dtype) {
  TRAMONTANE_CHECK(!stacked.empty());
  auto matrix = std::make_unique<RowMajorMatrix>();
  matrix->in_features_ = stacked[0].shape.at(1);
  int64_t num_weights = 0;
  for (const TensorView& tensor : stacked) {
    TRAMONTANE_CHECK(tensor.shape.size() == 2 && tensor.shape[1] == matrix->in_features_);
    matrix->out_features_ += tensor.shape[0];
    num_weights += tensor.num_elements();
  }
  absl::StatusOr<Buffer> weights =
      Buffer::Allocate(static_cast<size_t>(num_weights) * sizeof(float));
  if (!weights.ok()) return weights.status();
  matrix->weights_ = *std::move(weights);
  auto* next = matrix->weights_.as<float>();
  for (const TensorView& tensor : stacked) {
    for (int64_t i = 0; i < tensor.num_elements(); ++i) {
      const float weight = LoadElement(tensor.bytes, tensor.dtype, i);
      *next++ = compute_dtype == DType::kBF16 ? ToFloat(ToBFloat16(weight)) : weight;
    }
  }
  return matrix;
}

}  // namespace tramontane::reference
