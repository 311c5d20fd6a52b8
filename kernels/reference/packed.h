// The reference's "packed" weights: row-major float32, rounded to the compute dtype.
#ifndef TRAMONTANE_KERNELS_REFERENCE_PACKED_H_
#define TRAMONTANE_KERNELS_REFERENCE_PACKED_H_

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "kernels/buffer.h"
#include "kernels/packed_matrix.h"
#include "model/tensor_view.h"

namespace tramontane::reference {

class RowMajorMatrix final : public PackedMatrix {
 public:
  // RESOURCE_EXHAUSTED where memory runs out.
  static absl::StatusOr<std::unique_ptr<RowMajorMatrix>> Make(std::span<const TensorView> stacked,
                                                              DType compute_dtype);

  int64_t out_features() const override { return out_features_; }
  int64_t in_features() const override { return in_features_; }
  size_t num_bytes() const override { return weights_.size(); }
  const float* row(int64_t n) const { return weights_.as<float>() + n * in_features_; }

 private:
  int64_t out_features_ = 0;
  int64_t in_features_ = 0;
  Buffer weights_;  // [out_features, in_features]
};

class RowMajorExpert final : public PackedExpert {
 public:
  RowMajorExpert(std::unique_ptr<RowMajorMatrix> gate, std::unique_ptr<RowMajorMatrix> up,
                 std::unique_ptr<RowMajorMatrix> down)
      : w1(std::move(gate)), w3(std::move(up)), w2(std::move(down)) {}

  int64_t hidden_size() const override { return w1->in_features(); }
  int64_t intermediate_size() const override { return w1->out_features(); }
  size_t num_bytes() const override { return w1->num_bytes() + w3->num_bytes() + w2->num_bytes(); }

  const std::unique_ptr<RowMajorMatrix> w1, w3, w2;
};

}  // namespace tramontane::reference

#endif  // TRAMONTANE_KERNELS_REFERENCE_PACKED_H_
