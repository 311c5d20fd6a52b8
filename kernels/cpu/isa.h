// What each instruction set provides: a table of kernels over plain pointers, built in a
// translation unit of its own with that set's compiler flags.
#ifndef TRAMONTANE_KERNELS_CPU_ISA_H_
#define TRAMONTANE_KERNELS_CPU_ISA_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/dtype.h"

namespace tramontane::cpu {

// Packed weights, for every instruction set alike: panels of kPanelColumns output features. Within
// a panel one line after the other, each with one 32-bit unit per column: a pair of consecutive
// bf16 weights, or one f32 weight. [num_panels][num_units][kPanelColumns] units, zero padded.
inline constexpr int kPanelColumns = 64;
inline constexpr int kUnitBytes = 4;
inline constexpr int kLineBytes = kPanelColumns * kUnitBytes;
// Most rows of a tile, for any instruction set.
inline constexpr int kMaxTileRows = 8;
// Columns of a w1/w3 panel: the first half are of w1, the second the same rows of w3.
inline constexpr int kGateColumns = kPanelColumns / 2;

// sums[r][c] (+)= rows[r] . column c over some units of one panel.
struct GemmTile {
  const std::byte* const* rows = nullptr;  // [num_rows], each to unit 0 of `weights`; unaligned
  int num_rows = 0;                        // 1 … IsaKernels::max_tile_rows
  const std::byte* weights = nullptr;      // [num_units] lines
  int64_t num_units = 0;
  // Asked for while unit u is computed: kLineBytes from prefetch + u * prefetch_stride.
  const std::byte* prefetch = nullptr;
  int64_t prefetch_stride = 0;
  bool half_unit = false;      // bf16: of the last unit the rows hold only the first element
  int num_vectors = 4;         // sixteens of columns to compute: 1, 2 or 4
  float* sums = nullptr;       // [num_rows][kPanelColumns]
  bool continue_sums = false;  // go on from `sums` rather than from zero
};

// Sixteen-position tiles of keys and values of one KV head against queries of consecutive rows.
struct AttentionTask {
  const float* qkv = nullptr;  // the first row's first query head of this group
  int64_t qkv_stride = 0;      // floats from row to row
  int64_t num_rows = 0;
  int64_t first_position = 0;  // of the first row
  int64_t group_size = 0;      // query heads
  int64_t head_dim = 0;
  int64_t window = 0;                 // 0: none
  const std::byte* keys = nullptr;    // of this KV head in block 0
  const std::byte* values = nullptr;  // likewise
  DType cache_dtype = DType::kF32;
  int64_t block_stride = 0;  // bytes from block to block
  int64_t block_size = 0;    // positions
  const int32_t* page_table = nullptr;
  std::byte* output = nullptr;  // the first row's first head of this group
  int64_t output_stride = 0;    // elements from row to row
  DType output_dtype = DType::kF32;
  float* scratch = nullptr;  // AttentionScratchFloats
};

// Absolute positions of a tile of `attend_bf16` where it multiplies pairs of bf16; whole kKvTiles.
inline constexpr int64_t kBf16AttentionTile = 64;

// Floats of scratch, aligned to a cache line, for a task of `num_queries` = num_rows * group_size.
inline constexpr int64_t kAttentionLanes = 16;
inline constexpr int64_t kMaxAttendQueries = 128;
inline constexpr int64_t AttentionScratchFloats(int64_t num_queries, int64_t head_dim) {
  const int64_t padded = (head_dim + kAttentionLanes - 1) / kAttentionLanes * kAttentionLanes;
  // Queries, outputs, scores or lanes of sums, running maximum and sum; a tile of keys and one of
  // values: of floats, or of pairs of bf16 (keys of head_dim up to whole pairs of sixteens).
  return num_queries * (2 * padded + kAttentionLanes + 2) +
         kBf16AttentionTile * (padded + kAttentionLanes);
}

struct IsaKernels {
  std::string_view name;
  int max_tile_rows = 0;

  void (*gemm_bf16)(const GemmTile& tile);
  void (*gemm_f32)(const GemmTile& tile);

  // output[i] = silu(sums[i]) * sums[kGateColumns + i], i in [0, n), n at most kGateColumns.
  void (*swiglu)(const float* sums, int n, std::byte* output, DType output_dtype);
  // Rounds n floats to `dtype`.
  void (*store)(const float* values, int64_t n, std::byte* output, DType output_dtype);
  // n elements of `dtype`, unaligned, as floats.
  void (*widen)(const std::byte* input, DType dtype, int64_t n, float* output);

  void (*rms_norm)(const float* input, const float* weight, int64_t n, float epsilon,
                   std::byte* output, DType output_dtype);
  void (*rotate)(const float* cosines, const float* sines, int64_t half, float* head);
  void (*attend)(const AttentionTask& task);
  // Where the compute dtype and the cache's are bf16: may round queries and weights to bf16.
  void (*attend_bf16)(const AttentionTask& task);
  // Queries of a task at best, at most kMaxAttendQueries: more share the layout of a tile, but lie
  // beside it in the caches.
  int64_t attend_queries = 64;
  int64_t attend_bf16_queries = 64;
  // probabilities = softmax(logits), both [n]; may be the same memory.
  void (*softmax)(const float* logits, int64_t n, float* probabilities);
  // As CombineExpertsArgs, one token.
  void (*combine)(const std::byte* const* expert_rows, DType row_dtype, const float* weights,
                  int64_t top_k, int64_t hidden_size, float* residual, float* moe_output);

  // A panel's 16 columns from 16 rows: lines[u][c] = rows[c][u], u in [0, num_units), 32-bit units.
  // A null row gives zeros. `lines` has kPanelColumns units from line to line.
  void (*transpose_units)(const std::byte* const* rows, int64_t num_units, std::byte* lines);
};

// Null where the compiler could not build them.
const IsaKernels* Avx512Bf16Kernels();
const IsaKernels* Avx512Kernels();
const IsaKernels* Avx2Kernels();
const IsaKernels* PortableKernels();

// The kernels of `isa` ("" for the widest) that this machine can run; null where it cannot.
const IsaKernels* FindKernels(std::string_view isa);
// Whether `isa` names an instruction set at all.
bool IsKnownIsa(std::string_view isa);

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ISA_H_
