// Steps of attention in bf16 over a tile of 64 absolute positions, as a warp takes them for 16
// queries. Blocks of threads for few and for many queries share them: a row's bits are the same.
#ifndef TRAMONTANE_KERNELS_CUDA_ATTEND_TILE_CUH_
#define TRAMONTANE_KERNELS_CUDA_ATTEND_TILE_CUH_

#include <cmath>
#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/kv_pages.cuh"

namespace tramontane::cuda {

inline constexpr int kTilesOfSplit = kSplitPositions / kTilePositions;

// Keys or values [kTilePositions, kDim] of bf16 in shared memory. The 16-byte chunks of a row are
// permuted by its last three bits, so that eight rows' same chunks lie in different banks.
template <int kDim>
struct KvTile {
  static constexpr int kRowBytes = kDim * 2;
  static constexpr int kChunks = kRowBytes / 16;
  static constexpr int kBytes = kTilePositions * kRowBytes;
  static __device__ __forceinline__ int Offset(int row, int chunk) {
    return row * kRowBytes + (chunk ^ (row & 7)) * 16;
  }
};

// Starts to load a tile's keys and values. What is not cached, and columns beyond head_dim, become
// zeros.
template <int kDim, int kThreads>
__device__ __forceinline__ void LoadKvTile(const Attention& args, const PlannedQueries& queries,
                                           int kv_head, int tile, unsigned char* keys,
                                           unsigned char* values) {
  using Tile = KvTile<kDim>;
  const int32_t* const pages = args.pages + queries.first_page;
  const auto head_dim = static_cast<int>(args.cache.head_dim);
  for (int i = threadIdx.x; i < kTilePositions * Tile::kChunks; i += kThreads) {
    const int row = i / Tile::kChunks, chunk = i % Tile::kChunks;
    const int position = tile * kTilePositions + row;
    const bool valid = position <= queries.last_position && chunk * 8 < head_dim;
    const int64_t bytes =
        valid ? (KvElement(args.cache, pages, kv_head, position) + chunk * 8) * 2 : 0;
    CopyAsync(keys + Tile::Offset(row, chunk), args.cache.keys + bytes, valid);
    CopyAsync(values + Tile::Offset(row, chunk), args.cache.values + bytes, valid);
  }
}

// Sixteen queries, rounded to bf16, as the tensor cores' first operand; and whose they are.
template <int kDim>
struct WarpQueries {
  uint32_t q[kDim / 16][4];
  int position[2];    // of rows g and g + 8 of the operand; -1 where there is no query
  int64_t output[2];  // element of the output where the row begins

  // Queries [first, first + kWarpQueries) of `queries`.
  __device__ __forceinline__ void Load(const Attention& args, const PlannedQueries& queries,
                                       int kv_head, int first) {
    const int lane = threadIdx.x % kWarpSize, g = lane / 4, t = lane % 4;
    const auto head_dim = static_cast<int>(args.cache.head_dim);
    const int64_t row_size = (args.num_heads + 2 * args.cache.num_kv_heads) * head_dim;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int index = first + g + 8 * half;
      const bool valid = index < queries.num_queries;
      const int query = queries.first_query + (valid ? index : 0);
      const int row = query / args.group;
      const int head = kv_head * args.group + query % args.group;
      position[half] = valid ? queries.first_position + row : -1;
      output[half] =
          (static_cast<int64_t>(queries.first_row + row) * args.num_heads + head) * head_dim;
      const float* const x = args.qkv + (queries.first_row + row) * row_size + head * head_dim;
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
          const int column = k * 16 + part * 8 + t * 2;
          float2 pair = make_float2(0.0f, 0.0f);
          if (valid && column < head_dim) pair = *reinterpret_cast<const float2*>(x + column);
          q[k][part * 2 + half] = PackBf16(pair.x, pair.y);
        }
      }
    }
  }

  // Scores with the eight keys from `first_key` of the tile on, in units of log2 e; minus infinity
  // where a key is not visible.
  __device__ __forceinline__ void Score(const Attention& args, const unsigned char* keys, int tile,
                                        int first_key, float (&scores)[4]) const {
    const int lane = threadIdx.x % kWarpSize, t = lane % 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[i] = 0;
#pragma unroll
    for (int k = 0; k < kDim / 32; ++k) {
      const uint4 b =
          LoadMatrices(keys + KvTile<kDim>::Offset(first_key + lane % 8, k * 4 + lane / 8));
      const uint32_t(&a)[4] = q[2 * k], (&c)[4] = q[2 * k + 1];
      MultiplyAdd(scores, a[0], a[1], a[2], a[3], b.x, b.y);
      MultiplyAdd(scores, c[0], c[1], c[2], c[3], b.z, b.w);
    }
    constexpr float kLog2E = 1.44269504f;
    const float scale = args.scale * kLog2E;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = tile * kTilePositions + first_key + t * 2 + i % 2;
      const int at = position[i / 2];
      const bool visible = key <= at && at - key < args.window;
      scores[i] = visible ? scores[i] * scale : -INFINITY;
    }
  }
};

// The online softmax of rows g and g + 8: maximum so far; what sums so far are worth under the new
// maximum; and the maximum that weights are taken against, which is finite.
struct SoftmaxRows {
  float max[2] = {-INFINITY, -INFINITY};
  float rescale[2];
  float base[2];

  __device__ __forceinline__ void Raise(const float (&tile_max)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float raised = fmaxf(max[half], tile_max[half]);
      base[half] = raised == -INFINITY ? 0.0f : raised;
      rescale[half] = Exp2(max[half] - base[half]);
      max[half] = raised;
    }
  }
};

// The greatest of a row's scores among the four lanes that hold them.
__device__ __forceinline__ float QuadMax(float value) {
  value = fmaxf(value, ShuffleXor(value, 1));
  return fmaxf(value, ShuffleXor(value, 2));
}

__device__ __forceinline__ void Rescale(const SoftmaxRows& softmax, float (&sums)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[i] *= softmax.rescale[i / 2];
}

// Adds a row's 16 weights times 16 values of the tile, from `first_key` on, for the 16 columns from
// chunk `chunk` on.
template <int kDim>
__device__ __forceinline__ void AddValues(const uint4& weights, const unsigned char* values,
                                          int first_key, int chunk, float (&low)[4],
                                          float (&high)[4]) {
  const int lane = threadIdx.x % kWarpSize;
  const int row = first_key + lane % 8 + lane / 8 % 2 * 8;
  const uint4 b = LoadMatricesTransposed(values + KvTile<kDim>::Offset(row, chunk + lane / 16));
  MultiplyAdd(low, weights.x, weights.y, weights.z, weights.w, b.x, b.y);
  MultiplyAdd(high, weights.x, weights.y, weights.z, weights.w, b.z, b.w);
}

// Adds a row's 16 weights: the same products with values that are one.
__device__ __forceinline__ void AddWeights(const uint4& weights, float (&sums)[4]) {
  constexpr uint32_t kOnes = 0x3f803f80;  // two of bf16
  MultiplyAdd(sums, weights.x, weights.y, weights.z, weights.w, kOnes, kOnes);
}

// How a split's results come to those of the splits before it.
struct SplitMerge {
  float of_total, of_split;

  // Raises `max`, the maximum before, to the maximum of both.
  __device__ __forceinline__ SplitMerge(float& max, float split_max) {
    const float raised = fmaxf(max, split_max);
    const float base = raised == -INFINITY ? 0.0f : raised;
    of_total = Exp2(max - base);
    of_split = Exp2(split_max - base);
    max = raised;
  }
  __device__ __forceinline__ float operator()(float total, float split) const {
    return fmaf(split, of_split, total * of_total);
  }
};

// The attended value. A zero is positive.
__device__ __forceinline__ float Attended(float sum, float weight) {
  return __fdiv_rn(sum, weight) + 0.0f;
}

// The first position that the query at `position` sees.
__device__ __forceinline__ int FirstVisible(const Attention& args, int position) {
  return position < args.window ? 0 : position - args.window + 1;
}

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_ATTEND_TILE_CUH_
