#include "kernels/cpu/packed_panels.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "model/check.h"

namespace tramontane::cpu {
namespace {

constexpr int kRowsAtOnce = 16;
constexpr int64_t kUnitsAtOnce = 128;  // 32 KiB of a panel, which stay in the L1 or L2 cache

// `count` elements of any dtype, rounded to bf16 or as float32.
void Convert(const IsaKernels& kernels, const std::byte* input, DType dtype, int64_t count,
             DType compute_dtype, std::byte* output) {
  if (dtype == compute_dtype) {
    std::memcpy(output, input, static_cast<size_t>(count) * DTypeSize(dtype));
    return;
  }
  float floats[kUnitsAtOnce * 2];
  if (dtype == DType::kF16) {
    for (int64_t i = 0; i < count; ++i) {
      uint16_t half;
      std::memcpy(&half, input + 2 * i, sizeof(half));
      floats[i] = HalfToFloat(half);
    }
  } else {
    kernels.widen(input, dtype, count, floats);
  }
  kernels.store(floats, count, output, compute_dtype);
}

// What one packing of a matrix needs to know.
struct Packing {
  const IsaKernels& kernels;
  const DType compute_dtype;
  const int64_t in_features;
  const int64_t elements_per_unit;

  // Units [first_unit, first_unit + num_units) of kRowsAtOnce rows to as many columns.
  void PackUnits(const WeightRow* rows, int64_t first_unit, int64_t num_units,
                 std::byte* lines) const {
    std::byte converted[kRowsAtOnce][kUnitsAtOnce * kUnitBytes];
    const std::byte* units[kRowsAtOnce];
    const int64_t first = first_unit * elements_per_unit;
    const int64_t count = std::min(num_units * elements_per_unit, in_features - first);
    for (int r = 0; r < kRowsAtOnce; ++r) {
      units[r] = nullptr;
      if (rows[r].bytes == nullptr) continue;
      const std::byte* source =
          rows[r].bytes + first * static_cast<int64_t>(DTypeSize(rows[r].dtype));
      units[r] = source;
      if (rows[r].dtype == compute_dtype && count == num_units * elements_per_unit) continue;
      std::memset(converted[r] + (num_units - 1) * kUnitBytes, 0, kUnitBytes);
      Convert(kernels, source, rows[r].dtype, count, compute_dtype, converted[r]);
      units[r] = converted[r];
    }
    kernels.transpose_units(units, num_units, lines);
  }

  void PackPanel(const WeightRow* rows, int64_t num_units, std::byte* panel) const {
    for (int64_t u = 0; u < num_units; u += kUnitsAtOnce) {
      const int64_t count = std::min(kUnitsAtOnce, num_units - u);
      for (int c = 0; c < kPanelColumns; c += kRowsAtOnce) {
        PackUnits(rows + c, u, count, panel + u * kLineBytes + c * kUnitBytes);
      }
    }
  }
};

const std::byte* RowBytes(const TensorView& matrix, int64_t row) {
  return matrix.bytes + row * matrix.shape[1] * static_cast<int64_t>(DTypeSize(matrix.dtype));
}

std::vector<WeightRow> InterleavedRows(const TensorView& w1, const TensorView& w3) {
  const int64_t intermediate_size = w1.shape[0];
  std::vector<WeightRow> rows(static_cast<size_t>(GateAndUpColumns(intermediate_size)));
  for (int64_t i = 0; i < intermediate_size; ++i) {
    const int64_t column = i / kGateColumns * kPanelColumns + i % kGateColumns;
    rows[static_cast<size_t>(column)] = {RowBytes(w1, i), w1.dtype};
    rows[static_cast<size_t>(column + kGateColumns)] = {RowBytes(w3, i), w3.dtype};
  }
  return rows;
}

}  // namespace

int64_t PackedMatrixBytes(int64_t out_features, int64_t in_features, DType compute_dtype) {
  return PanelLayout(out_features, in_features, compute_dtype).num_bytes();
}

int64_t PackedExpertBytes(int64_t hidden_size, int64_t intermediate_size, DType compute_dtype) {
  return PackedMatrixBytes(GateAndUpColumns(intermediate_size), hidden_size, compute_dtype) +
         PackedMatrixBytes(hidden_size, intermediate_size, compute_dtype);
}

std::vector<WeightRow> StackedRows(std::span<const TensorView> stacked) {
  TRAMONTANE_CHECK(!stacked.empty());
  std::vector<WeightRow> rows;
  for (const TensorView& matrix : stacked) {
    TRAMONTANE_CHECK(matrix.shape.size() == 2 && matrix.shape[1] == stacked[0].shape[1]);
    for (int64_t r = 0; r < matrix.shape[0]; ++r) {
      rows.push_back({RowBytes(matrix, r), matrix.dtype});
    }
  }
  rows.resize((rows.size() + kPanelColumns - 1) / kPanelColumns * kPanelColumns);
  return rows;
}

absl::StatusOr<std::unique_ptr<PackedPanels>> PackedPanels::Make(Context& context,
                                                                 const std::vector<WeightRow>& rows,
                                                                 int64_t out_features,
                                                                 int64_t in_features) {
  std::unique_ptr<PackedPanels> packed(
      new PackedPanels(out_features, in_features, context.compute_dtype));
  absl::StatusOr<Buffer> bytes = Buffer::Allocate(static_cast<size_t>(packed->layout_.num_bytes()));
  if (!bytes.ok()) return bytes.status();
  packed->bytes_ = *std::move(bytes);
  const Packing packing{context.kernels, context.compute_dtype, in_features,
                        PanelLayout::ElementsPerUnit(context.compute_dtype)};
  context.pool.ParallelFor(packed->num_panels(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p) {
      packing.PackPanel(rows.data() + p * kPanelColumns, packed->num_units(),
                        packed->bytes_.bytes() + p * packed->panel_bytes());
    }
  });
  return packed;
}

absl::StatusOr<std::unique_ptr<PackedPanelsExpert>> PackedPanelsExpert::Make(Context& context,
                                                                             const TensorView& w1,
                                                                             const TensorView& w3,
                                                                             const TensorView& w2) {
  TRAMONTANE_CHECK(w1.shape == w3.shape && w2.shape.size() == 2 && w1.shape.size() == 2);
  TRAMONTANE_CHECK(w1.shape[0] == w2.shape[1] && w1.shape[1] == w2.shape[0]);
  auto expert = std::make_unique<PackedPanelsExpert>();
  const std::vector<WeightRow> gate_and_up = InterleavedRows(w1, w3);
  auto w13 = PackedPanels::Make(context, gate_and_up, static_cast<int64_t>(gate_and_up.size()),
                                w1.shape[1]);
  if (!w13.ok()) return w13.status();
  expert->w13_ = *std::move(w13);
  auto down = PackedPanels::Make(context, StackedRows({&w2, 1}), w2.shape[0], w2.shape[1]);
  if (!down.ok()) return down.status();
  expert->w2_ = *std::move(down);
  return expert;
}

}  // namespace tramontane::cpu
