#include "kernels/matmul.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {
namespace {

// `num_rows` rows to memory of `context`, with their padding.
const void* PadRows(Context& context, const std::byte* input, int64_t num_rows, int64_t row_bytes,
                    int64_t padded_bytes) {
  std::byte* const rows = context.rows.Reserve(context, context.max_rows * padded_bytes);
  std::vector<RowMove> moves;
  for (int64_t r = 0; r < num_rows; ++r) {
    moves.push_back({input + r * row_bytes, rows + r * padded_bytes, row_bytes, padded_bytes});
  }
  MoveRows(context, moves);
  return rows;
}

}  // namespace

void MatMul(Context& context, const MatMulArgs& args) {
  const auto& weight = static_cast<const DeviceMatrix&>(*args.weight);
  const auto element_bytes = static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const int64_t row_bytes = weight.in_features() * element_bytes;
  const int64_t padded_bytes = weight.padded_in_features() * element_bytes;
  const auto* const input = static_cast<const std::byte*>(args.input);
  const bool in_place =
      row_bytes == padded_bytes && reinterpret_cast<uintptr_t>(args.input) % 16 == 0;
  const int64_t rows_at_once = in_place ? args.num_rows : context.max_rows;
  for (int64_t row = 0; row < args.num_rows; row += rows_at_once) {
    const int64_t count = std::min(rows_at_once, args.num_rows - row);
    const void* const rows =
        in_place ? input
                 : PadRows(context, input + row * row_bytes, count, row_bytes, padded_bytes);
    const Product product = weight.MakeProduct(
        rows, count, args.output + row * weight.out_features(), weight.out_features());
    RunProducts(context, {&product, 1},
                args.accumulate ? Epilogue::kAddFloat : Epilogue::kStoreFloat);
  }
}

}  // namespace tramontane::cuda
