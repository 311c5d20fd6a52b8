#include <cstring>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/operations.h"

namespace tramontane::cpu {
namespace {

void WriteRow(const float* sums, int64_t count, bool accumulate, float* output) {
  if (!accumulate) {
    std::memcpy(output, sums, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) output[i] += sums[i];
}

}  // namespace

void MatMul(Context& context, const MatMulArgs& args) {
  const auto& weight = static_cast<const PackedPanels&>(*args.weight);
  const int64_t row_bytes =
      weight.in_features() * static_cast<int64_t>(DTypeSize(context.compute_dtype));
  context.rows.clear();
  for (int64_t r = 0; r < args.num_rows; ++r) {
    context.rows.push_back(static_cast<const std::byte*>(args.input) + r * row_bytes);
  }
  const auto write = [&](const GemmBlock& block) {
    float* output = args.output + block.panel * kPanelColumns;
    for (int64_t r = 0; r < block.num_rows; ++r) {
      WriteRow(block.sums + r * kPanelColumns, weight.columns(block.panel), args.accumulate,
               output + (block.first_row + r) * weight.out_features());
    }
  };
  RunGemm(context, {{&weight, context.rows.data(), args.num_rows}}, write);
}

}  // namespace tramontane::cpu
