#include "kernels/matmul.h"

#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {
namespace {

// The rows as products take them: where they are, or copied with their padding.
const void* PaddedRows(Context& context, const MatMulArgs& args, const DeviceMatrix& weight) {
  const auto element_bytes = static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const int64_t row_bytes = weight.in_features() * element_bytes;
  const int64_t padded_bytes = weight.padded_in_features() * element_bytes;
  if (row_bytes == padded_bytes && reinterpret_cast<uintptr_t>(args.input) % 16 == 0) {
    return args.input;
  }
  std::byte* const rows = context.rows.Reserve(context, args.num_rows * padded_bytes);
  auto* const moves = context.StageArray<RowMove>(args.num_rows);
  for (int64_t r = 0; r < args.num_rows; ++r) {
    moves[r] = {static_cast<const std::byte*>(args.input) + r * row_bytes, rows + r * padded_bytes,
                row_bytes, padded_bytes};
  }
  MoveRows(context, moves, args.num_rows);
  return rows;
}

}  // namespace

void MatMul(Context& context, const MatMulArgs& args) {
  if (args.num_rows == 0) return;
  const auto& weight = static_cast<const DeviceMatrix&>(*args.weight);
  const Product product = weight.MakeProduct(PaddedRows(context, args, weight), args.num_rows,
                                             args.output, weight.out_features());
  RunProducts(context, {&product, 1},
              args.accumulate ? Epilogue::kAddFloat : Epilogue::kStoreFloat);
}

}  // namespace tramontane::cuda
