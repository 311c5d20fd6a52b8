// Attention of few queries: the context is split over blocks of threads at absolute positions, and
// their results are merged in order.
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kStages = 2;

// Weights [kWarpQueries, kTilePositions] of bf16 and each warp's maxima [kWarps, kWarpQueries].
constexpr int kWeightRowBytes = kTilePositions * 2;
constexpr int kWeightBytes = kWarpQueries * kWeightRowBytes;
constexpr int kMaximaBytes = kWarps * kWarpQueries * 4;

template <int kDim>
constexpr int SharedBytes() {
  return kStages * 2 * KvTile<kDim>::kBytes + kWeightBytes + kMaximaBytes;
}

__device__ __forceinline__ int WeightOffset(int row, int chunk) {
  return row * kWeightRowBytes + (chunk ^ (row & 7)) * 16;
}

// The tiles of a split that the queries see part of.
struct TileRange {
  int begin, end;
  __device__ __forceinline__ TileRange(const Attention& args, const PlannedQueries& queries,
                                       int split) {
    const int first = queries.first_position + queries.first_query / args.group;
    const int last =
        queries.first_position + (queries.first_query + queries.num_queries - 1) / args.group;
    begin = max(split * kTilesOfSplit, FirstVisible(args, first) / kTilePositions);
    end = min((split + 1) * kTilesOfSplit, last / kTilePositions + 1);
  }
};

__device__ __forceinline__ int64_t PartialRow(const PlannedQueries& queries, int kv_head, int split,
                                              int query) {
  return queries.first_partial +
         (static_cast<int64_t>(kv_head) * queries.num_splits + split) * queries.num_queries + query;
}

// What a block knows of its split: each warp has 16 keys of a tile, then kDim / 4 columns of the
// values' sums.
template <int kDim>
struct SplitSums {
  static constexpr int kColumnGroups = kDim / 8 / kWarps;  // of 8 columns, a warp
  SoftmaxRows softmax;
  float sums[kColumnGroups][4] = {};
  float weight[4] = {};

  __device__ __forceinline__ void AddTile(const Attention& args, const WarpQueries<kDim>& queries,
                                          int tile, const unsigned char* keys,
                                          const unsigned char* values, unsigned char* weights,
                                          float* maxima) {
    const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    const int g = lane / 4, t = lane % 4;
    float scores[2][4];
    float tile_max[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      queries.Score(args, keys, tile, warp * 16 + n * 8, scores[n]);
#pragma unroll
      for (int i = 0; i < 4; ++i) tile_max[i / 2] = fmaxf(tile_max[i / 2], scores[n][i]);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      tile_max[half] = QuadMax(tile_max[half]);
      if (t == 0) maxima[warp * kWarpQueries + g + 8 * half] = tile_max[half];
    }
    __syncthreads();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int w = 0; w < kWarps; ++w) {
        tile_max[half] = fmaxf(tile_max[half], maxima[w * kWarpQueries + g + 8 * half]);
      }
    }
    softmax.Raise(tile_max);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint32_t pair = PackBf16(Exp2(scores[n][half * 2] - softmax.base[half]),
                                       Exp2(scores[n][half * 2 + 1] - softmax.base[half]));
        *reinterpret_cast<uint32_t*>(weights + WeightOffset(g + 8 * half, warp * 2 + n) + t * 4) =
            pair;
      }
    }
    __syncthreads();
    Rescale(softmax, weight);
#pragma unroll
    for (int n = 0; n < kColumnGroups; ++n) Rescale(softmax, sums[n]);
#pragma unroll
    for (int k = 0; k < kTilePositions / 16; ++k) {
      const uint4 p =
          LoadMatrices(weights + WeightOffset(lane % 8 + lane / 8 % 2 * 8, k * 2 + lane / 16));
      AddWeights(p, weight);
#pragma unroll
      for (int n = 0; n < kColumnGroups; n += 2) {
        AddValues<kDim>(p, values, k * 16, warp * kColumnGroups + n, sums[n], sums[n + 1]);
      }
    }
  }

  __device__ __forceinline__ void Store(const Attention& args, const PlannedQueries& queries,
                                        int kv_head, int split) const {
    const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = g + 8 * half;
      if (query >= queries.num_queries) continue;
      const int64_t row = PartialRow(queries, kv_head, split, query);
#pragma unroll
      for (int n = 0; n < kColumnGroups; ++n) {
        const int column = (warp * kColumnGroups + n) * 8 + t * 2;
        *reinterpret_cast<float2*>(args.partial_sums + row * kDim + column) =
            make_float2(sums[n][half * 2], sums[n][half * 2 + 1]);
      }
      if (warp == 0 && t == 0) {
        args.partial_stats[row] = make_float2(softmax.max[half], weight[half * 2]);
      }
    }
  }
};

// A block of threads: one split of one KV head, for up to 16 queries.
template <int kDim>
__global__ void __launch_bounds__(kThreads)
    AttendSplitKernel(const __grid_constant__ Attention args) {
  LetNextStart();
  const PlannedQueries queries = args.few[blockIdx.z];
  const int split = static_cast<int>(blockIdx.x), kv_head = static_cast<int>(blockIdx.y);
  const TileRange tiles(args, queries, split);
  AwaitPrevious();
  if (tiles.begin >= tiles.end) return;
  unsigned char* const stages = DynamicShared();  // keys, then values, of each
  unsigned char* const weights = stages + kStages * 2 * KvTile<kDim>::kBytes;
  float* const maxima = reinterpret_cast<float*>(weights + kWeightBytes);
  const auto load = [&](int tile) {
    unsigned char* const keys = stages + tile % kStages * 2 * KvTile<kDim>::kBytes;
    LoadKvTile<kDim, kThreads>(args, queries, kv_head, tile, keys, keys + KvTile<kDim>::kBytes);
    CommitCopies();
  };
  load(tiles.begin);
  WarpQueries<kDim> q;
  q.Load(args, queries, kv_head, 0);
  SplitSums<kDim> sums;
  for (int tile = tiles.begin; tile < tiles.end; ++tile) {
    AwaitCopies<0>();
    __syncthreads();  // the tile is there for all, and all have done with the one before
    if (tile + 1 < tiles.end) load(tile + 1);
    const unsigned char* const keys = stages + tile % kStages * 2 * KvTile<kDim>::kBytes;
    sums.AddTile(args, q, tile, keys, keys + KvTile<kDim>::kBytes, weights, maxima);
  }
  sums.Store(args, queries, kv_head, split);
}

// A block of threads: one query; a thread a column.
template <int kDim>
__global__ void __launch_bounds__(kDim) MergeSplitsKernel(const __grid_constant__ Attention args) {
  LetNextStart();
  const PlannedQueries queries = args.few[blockIdx.x];
  AwaitPrevious();
  const int kv_head = static_cast<int>(blockIdx.y), query = static_cast<int>(blockIdx.z);
  const int column = static_cast<int>(threadIdx.x);
  if (query >= queries.num_queries || column >= args.cache.head_dim) return;
  float max = -INFINITY, sum = 0, weight = 0;
  for (int split = 0; split < queries.num_splits; ++split) {
    const TileRange tiles(args, queries, split);
    if (tiles.begin >= tiles.end) continue;
    const int64_t row = PartialRow(queries, kv_head, split, query);
    const float2 stats = args.partial_stats[row];
    const SplitMerge merge(max, stats.x);
    weight = merge(weight, stats.y);
    sum = merge(sum, args.partial_sums[row * kDim + column]);
  }
  const int index = queries.first_query + query;
  const int64_t output_row = queries.first_row + index / args.group;
  const int64_t head = kv_head * args.group + index % args.group;
  StoreElement(args.output, args.output_dtype,
               (output_row * args.num_heads + head) * args.cache.head_dim + column,
               Attended(sum, weight));
}

template <int kDim>
void Run(Context& context, const Attention& args) {
  const auto num_kv_heads = static_cast<unsigned>(args.cache.num_kv_heads);
  const auto num_few = static_cast<unsigned>(args.num_few);
  LaunchShape split;
  split.grid = dim3(static_cast<unsigned>(args.max_splits), num_kv_heads, num_few);
  split.block = dim3(kThreads);
  split.shared_bytes = SharedBytes<kDim>();
  Launch(context, "attention over a split", split, &AttendSplitKernel<kDim>, args);
  LaunchShape merge;
  merge.grid = dim3(num_few, num_kv_heads, kWarpQueries);
  merge.block = dim3(kDim);
  Launch(context, "merging attention's splits", merge, &MergeSplitsKernel<kDim>, args);
}

}  // namespace

void AttendFew(Context& context, const Attention& args) {
  if (args.cache.head_dim <= 64) {
    Run<64>(context, args);
  } else {
    Run<128>(context, args);
  }
}

}  // namespace tramontane::cuda
