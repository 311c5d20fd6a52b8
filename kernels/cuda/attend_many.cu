// Attention of many queries of a sequence: a prefill chunk.
#include "kernels/cuda/attend_tile.cuh"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kWarps = kBlockQueries / kWarpQueries;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kStages = 2;

// Two stages of keys and values; then each thread's totals over the splits, [kDim / 2, kThreads]
// floats.
template <int kDim>
constexpr int SharedBytes() {
  return kStages * 2 * KvTile<kDim>::kBytes + kDim / 2 * kThreads * 4;
}

// A warp's 16 queries over one split.
template <int kDim>
struct WarpSums {
  static constexpr int kColumnGroups = kDim / 8;
  SoftmaxRows softmax;
  float sums[kColumnGroups][4];
  float weight[4];

  __device__ __forceinline__ void Reset() {
    softmax = SoftmaxRows();
#pragma unroll
    for (int i = 0; i < 4; ++i) weight[i] = 0;
#pragma unroll
    for (int n = 0; n < kColumnGroups; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[n][i] = 0;
    }
  }

  __device__ __forceinline__ void AddTile(const Attention& args, const WarpQueries<kDim>& queries,
                                          int tile, const unsigned char* keys,
                                          const unsigned char* values) {
    float scores[kTilePositions / 8][4];
    float tile_max[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int n = 0; n < kTilePositions / 8; ++n) {
      queries.Score(args, keys, tile, n * 8, scores[n]);
#pragma unroll
      for (int i = 0; i < 4; ++i) tile_max[i / 2] = fmaxf(tile_max[i / 2], scores[n][i]);
    }
    tile_max[0] = QuadMax(tile_max[0]);
    tile_max[1] = QuadMax(tile_max[1]);
    softmax.Raise(tile_max);
    Rescale(softmax, weight);
#pragma unroll
    for (int n = 0; n < kColumnGroups; ++n) Rescale(softmax, sums[n]);
#pragma unroll
    for (int k = 0; k < kTilePositions / 16; ++k) {
      // The scores' places in the warp are those of the products' first operand.
      const float(&left)[4] = scores[2 * k], (&right)[4] = scores[2 * k + 1];
      const uint4 p =
          make_uint4(PackBf16(Exp2(left[0] - softmax.base[0]), Exp2(left[1] - softmax.base[0])),
                     PackBf16(Exp2(left[2] - softmax.base[1]), Exp2(left[3] - softmax.base[1])),
                     PackBf16(Exp2(right[0] - softmax.base[0]), Exp2(right[1] - softmax.base[0])),
                     PackBf16(Exp2(right[2] - softmax.base[1]), Exp2(right[3] - softmax.base[1])));
      AddWeights(p, weight);
#pragma unroll
      for (int n = 0; n < kColumnGroups; n += 2) {
        AddValues<kDim>(p, values, k * 16, n, sums[n], sums[n + 1]);
      }
    }
  }
};

// The results of the splits so far. The values' sums are in shared memory, where each thread has
// its own: registers would not hold them beside the split's.
template <int kDim>
struct Totals {
  float* sums;  // this thread's, kThreads apart
  float max[2] = {-INFINITY, -INFINITY};
  float weight[2] = {0, 0};

  __device__ __forceinline__ explicit Totals(float* shared) : sums(shared + threadIdx.x) {
    for (int i = 0; i < kDim / 2; ++i) sums[i * kThreads] = 0;
  }

  __device__ __forceinline__ void Merge(const WarpSums<kDim>& split) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const SplitMerge merge(max[half], split.softmax.max[half]);
      weight[half] = merge(weight[half], split.weight[half * 2]);
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
        for (int i = half * 2; i < half * 2 + 2; ++i) {
          float& total = sums[(n * 4 + i) * kThreads];
          total = merge(total, split.sums[n][i]);
        }
      }
    }
  }

  __device__ __forceinline__ void Store(const Attention& args,
                                        const WarpQueries<kDim>& queries) const {
    const int t = threadIdx.x % 4;
    for (int half = 0; half < 2; ++half) {
      if (queries.position[half] < 0) continue;
      for (int n = 0; n < kDim / 8; ++n) {
        const int column = n * 8 + t * 2;
        if (column >= args.cache.head_dim) break;
        for (int i = 0; i < 2; ++i) {
          StoreElement(args.output, args.output_dtype, queries.output[half] + column + i,
                       Attended(sums[(n * 4 + half * 2 + i) * kThreads], weight[half]));
        }
      }
    }
  }
};

// A block of threads: one KV head, for up to 64 queries over all of their context.
template <int kDim>
__global__ void __launch_bounds__(kThreads)
    AttendManyKernel(const __grid_constant__ Attention args) {
  LetNextStart();
  AwaitPrevious();
  // The last queries first: they have the most to do, and the device is full while they do it.
  const PlannedQueries queries = args.many[gridDim.x - 1 - blockIdx.x];
  const int kv_head = static_cast<int>(blockIdx.y);
  const int warp = threadIdx.x / kWarpSize;
  const int first = queries.first_position + queries.first_query / args.group;
  const int last =
      queries.first_position + (queries.first_query + queries.num_queries - 1) / args.group;
  const int begin = FirstVisible(args, first) / kTilePositions, end = last / kTilePositions + 1;
  // The last position of the warp's own queries: later tiles would change none of its bits.
  const int last_of_warp =
      warp * kWarpQueries < queries.num_queries
          ? queries.first_position +
                (queries.first_query + min((warp + 1) * kWarpQueries, queries.num_queries) - 1) /
                    args.group
          : -1;
  unsigned char* const stages = DynamicShared();  // keys, then values, of each
  const auto load = [&](int tile) {
    unsigned char* const keys = stages + tile % kStages * 2 * KvTile<kDim>::kBytes;
    LoadKvTile<kDim, kThreads>(args, queries, kv_head, tile, keys, keys + KvTile<kDim>::kBytes);
    CommitCopies();
  };
  load(begin);
  WarpQueries<kDim> q;
  q.Load(args, queries, kv_head, warp * kWarpQueries);
  Totals<kDim> totals(reinterpret_cast<float*>(stages + kStages * 2 * KvTile<kDim>::kBytes));
  WarpSums<kDim> sums;
  sums.Reset();
  for (int tile = begin; tile < end; ++tile) {
    AwaitCopies<0>();
    __syncthreads();  // the tile is there for all, and all have done with the one before
    if (tile + 1 < end) load(tile + 1);
    const unsigned char* const keys = stages + tile % kStages * 2 * KvTile<kDim>::kBytes;
    if (tile * kTilePositions <= last_of_warp) {
      sums.AddTile(args, q, tile, keys, keys + KvTile<kDim>::kBytes);
    }
    if ((tile + 1) % kTilesOfSplit == 0 || tile + 1 == end) {
      totals.Merge(sums);
      sums.Reset();
    }
  }
  totals.Store(args, q);
}

template <int kDim>
void Run(Context& context, const Attention& args) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(args.num_many), static_cast<unsigned>(args.cache.num_kv_heads));
  shape.block = dim3(kThreads);
  shape.shared_bytes = SharedBytes<kDim>();
  Launch(context, "attention of a chunk", shape, &AttendManyKernel<kDim>, args);
}

}  // namespace

void AttendMany(Context& context, const Attention& args) {
  if (args.cache.head_dim <= 64) {
    Run<64>(context, args);
  } else {
    Run<128>(context, args);
  }
}

}  // namespace tramontane::cuda
