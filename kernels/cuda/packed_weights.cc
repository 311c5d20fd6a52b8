#include "kernels/cuda/packed_weights.h"

#include <utility>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/packed_tiles.h"
#include "model/check.h"

namespace tramontane::cuda {

absl::StatusOr<std::unique_ptr<DeviceMatrix>> DeviceMatrix::Make(DType compute_dtype,
                                                                 int64_t num_rows,
                                                                 int64_t in_features) {
  auto matrix = std::make_unique<DeviceMatrix>();
  matrix->out_features_ = num_rows;
  matrix->in_features_ = in_features;
  matrix->padded_in_features_ =
      compute_dtype == DType::kF32 ? in_features : NumBlocks(in_features) * kBlockK;
  matrix->num_tiles_ = NumTiles(num_rows);
  const int64_t padded_tiles =
      compute_dtype == DType::kF32 ? matrix->num_tiles_ : PaddedTiles(matrix->num_tiles_);
  absl::StatusOr<Buffer> weights =
      AllocateDevice(static_cast<size_t>(padded_tiles * kTileRows * matrix->padded_in_features_) *
                     DTypeSize(compute_dtype));
  if (!weights.ok()) return weights.status();
  matrix->weights_ = *std::move(weights);
  return matrix;
}

absl::StatusOr<std::unique_ptr<DeviceMatrix>> DeviceMatrix::Stack(
    WeightStream& stream, std::span<const TensorView> stacked) {
  TRAMONTANE_CHECK(!stacked.empty());
  int64_t num_rows = 0;
  for (const TensorView& tensor : stacked) {
    TRAMONTANE_CHECK(tensor.shape.size() == 2 && tensor.shape[1] == stacked[0].shape[1]);
    num_rows += tensor.shape[0];
  }
  auto matrix = Make(stream.compute_dtype(), num_rows, stacked[0].shape[1]);
  if (!matrix.ok()) return matrix.status();
  int64_t first_row = 0;
  for (const TensorView& tensor : stacked) {
    const absl::Status packed =
        stream.Pack(tensor, RowPlacement::kInOrder, first_row, (*matrix)->padded_in_features_,
                    (*matrix)->weights_.bytes());
    if (!packed.ok()) return packed;
    first_row += tensor.shape[0];
  }
  return matrix;
}

absl::StatusOr<std::unique_ptr<DeviceMatrix>> DeviceMatrix::Interleave(WeightStream& stream,
                                                                       const TensorView& w1,
                                                                       const TensorView& w3) {
  auto matrix = Make(stream.compute_dtype(), 2 * NumBlocks(w1.shape[0]) * kBlockK, w1.shape[1]);
  if (!matrix.ok()) return matrix.status();
  const std::pair<const TensorView*, RowPlacement> halves[] = {{&w1, RowPlacement::kGate},
                                                               {&w3, RowPlacement::kUp}};
  for (const auto& [tensor, placement] : halves) {
    const absl::Status packed = stream.Pack(*tensor, placement, 0, (*matrix)->padded_in_features_,
                                            (*matrix)->weights_.bytes());
    if (!packed.ok()) return packed;
  }
  return matrix;
}

Product DeviceMatrix::MakeProduct(const void* input, int64_t num_rows, void* output,
                                  int64_t num_columns) const {
  Product product;
  product.weight = weights_.bytes();
  product.input = input;
  product.output = output;
  product.output_stride = num_columns;
  product.num_rows = static_cast<int32_t>(num_rows);
  product.num_tiles = static_cast<int32_t>(num_tiles_);
  product.in_features = static_cast<int32_t>(padded_in_features_);
  product.num_columns = static_cast<int32_t>(num_columns);
  return product;
}

absl::StatusOr<std::unique_ptr<DeviceExpert>> DeviceExpert::Make(WeightStream& stream,
                                                                 const TensorView& w1,
                                                                 const TensorView& w3,
                                                                 const TensorView& w2) {
  TRAMONTANE_CHECK(w1.shape == w3.shape && w2.shape.size() == 2 && w1.shape.size() == 2);
  TRAMONTANE_CHECK(w1.shape[0] == w2.shape[1] && w1.shape[1] == w2.shape[0]);
  auto expert = std::make_unique<DeviceExpert>();
  auto w13 = DeviceMatrix::Interleave(stream, w1, w3);
  if (!w13.ok()) return w13.status();
  expert->w13_ = *std::move(w13);
  auto down = DeviceMatrix::Stack(stream, {&w2, 1});
  if (!down.ok()) return down.status();
  expert->w2_ = *std::move(down);
  return expert;
}

}  // namespace tramontane::cuda
