// Weights on the device, streamed there from the mapped checkpoint.
#ifndef TRAMONTANE_KERNELS_CUDA_PACKED_WEIGHTS_H_
#define TRAMONTANE_KERNELS_CUDA_PACKED_WEIGHTS_H_

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "kernels/buffer.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/weight_stream.h"
#include "kernels/packed_matrix.h"
#include "model/tensor_view.h"

namespace tramontane::cuda {

// bf16: tiles of packed_tiles.h, padded with zeros to whole groups and blocks. f32: rows, padded to
// whole tiles.
class DeviceMatrix final : public PackedMatrix {
 public:
  // The matrices under one another. RESOURCE_EXHAUSTED where memory runs out, INTERNAL where the
  // device fails.
  static absl::StatusOr<std::unique_ptr<DeviceMatrix>> Stack(WeightStream& stream,
                                                             std::span<const TensorView> stacked);
  // w1 and w3 interleaved, padded to whole blocks of kBlockK rows of each, so that what SwiGLU
  // makes of them is padded as the input of w2.
  static absl::StatusOr<std::unique_ptr<DeviceMatrix>> Interleave(WeightStream& stream,
                                                                  const TensorView& w1,
                                                                  const TensorView& w3);

  int64_t out_features() const override { return out_features_; }
  int64_t in_features() const override { return in_features_; }
  size_t num_bytes() const override { return weights_.size(); }
  // Elements of a row as products take it.
  int64_t padded_in_features() const { return padded_in_features_; }

  int64_t num_tiles() const { return num_tiles_; }

  // `rows` of the matrix's products, with the output's columns as the epilogue makes them.
  Product MakeProduct(const void* input, int64_t num_rows, void* output, int64_t num_columns) const;

 private:
  static absl::StatusOr<std::unique_ptr<DeviceMatrix>> Make(DType compute_dtype, int64_t num_rows,
                                                            int64_t in_features);

  int64_t out_features_ = 0;
  int64_t in_features_ = 0;
  int64_t padded_in_features_ = 0;
  int64_t num_tiles_ = 0;
  Buffer weights_;
};

class DeviceExpert final : public PackedExpert {
 public:
  // As DeviceMatrix.
  static absl::StatusOr<std::unique_ptr<DeviceExpert>> Make(WeightStream& stream,
                                                            const TensorView& w1,
                                                            const TensorView& w3,
                                                            const TensorView& w2);

  int64_t hidden_size() const override { return w2_->out_features(); }
  int64_t intermediate_size() const override { return w2_->in_features(); }
  size_t num_bytes() const override { return w13_->num_bytes() + w2_->num_bytes(); }

  const DeviceMatrix& w13() const { return *w13_; }
  const DeviceMatrix& w2() const { return *w2_; }

 private:
  std::unique_ptr<DeviceMatrix> w13_, w2_;
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_PACKED_WEIGHTS_H_
