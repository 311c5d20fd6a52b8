// Memory that the CPU backend takes, by sizes alone. It allocates by these functions, and a
// capacity plan counts by them.
#ifndef TRAMONTANE_KERNELS_CPU_MEMORY_SIZE_H_
#define TRAMONTANE_KERNELS_CPU_MEMORY_SIZE_H_

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "model/dtype.h"

namespace tramontane::cpu {

// How a weight matrix [out_features, in_features] lies in panels (isa.h).
struct PanelLayout {
  PanelLayout(int64_t out_features, int64_t in_features, DType compute_dtype)
      : num_panels((out_features + kPanelColumns - 1) / kPanelColumns),
        num_units((in_features + ElementsPerUnit(compute_dtype) - 1) /
                  ElementsPerUnit(compute_dtype)),
        half_unit(in_features % ElementsPerUnit(compute_dtype) != 0) {}

  static constexpr int64_t ElementsPerUnit(DType compute_dtype) {
    return kUnitBytes / static_cast<int64_t>(DTypeSize(compute_dtype));
  }
  int64_t panel_bytes() const { return num_units * kLineBytes; }
  int64_t num_bytes() const { return num_panels * panel_bytes(); }

  int64_t num_panels;
  int64_t num_units;  // of a column; zeros fill the last one where it is half empty
  bool half_unit;
};

// What Backend::Pack makes of matrices stacked to [out_features, in_features].
int64_t PackedMatrixBytes(int64_t out_features, int64_t in_features, DType compute_dtype);
// What Backend::PackExpert makes of one expert.
int64_t PackedExpertBytes(int64_t hidden_size, int64_t intermediate_size, DType compute_dtype);

// Columns of the panels that hold w1 and w3 side by side, both padded.
constexpr int64_t GateAndUpColumns(int64_t intermediate_size) {
  return (intermediate_size + kGateColumns - 1) / kGateColumns * kPanelColumns;
}

// A row of silu(w1 x) * (w3 x), in whole cache lines.
constexpr int64_t ActivatedRowBytes(int64_t intermediate_size, DType compute_dtype) {
  return (intermediate_size * static_cast<int64_t>(DTypeSize(compute_dtype)) + 63) / 64 * 64;
}

// Rows of that kind that are held at once: more are computed a part after the other.
inline constexpr int64_t kMaxActivatedRows = 8'192;

// Rows whose sums a thread of a matrix product keeps at once: 64 KiB of the L2 cache.
inline constexpr int64_t kMaxRowsAtOnce = 256;
// Scratch for the sums of a matrix product.
constexpr int64_t GemmScratchBytes(int64_t num_threads) {
  return num_threads * kMaxRowsAtOnce * kPanelColumns * static_cast<int64_t>(sizeof(float));
}

// Scratch for attention, where a task has `num_queries` queries (rows times the heads of a group).
constexpr int64_t AttentionScratchBytes(int64_t num_threads, int64_t num_queries,
                                        int64_t head_dim) {
  return num_threads * ((AttentionScratchFloats(num_queries, head_dim) + 15) / 16 * 16) *
         static_cast<int64_t>(sizeof(float));
}

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_MEMORY_SIZE_H_
