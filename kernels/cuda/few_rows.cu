// Products of few rows: as fast as the weights can be read, each of them once.
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_tiles.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/store_pair.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = kParts * kWarpSize;
// Between the sums of a row and those of the next in shared memory, beyond the columns: puts the
// rows that a warp writes at once in banks of their own.
constexpr int kPadding = 4;
// Up to so many blocks of threads, as the gate's product has, have a multiprocessor each, and must
// keep the memory busy by themselves: each lane asks for so many blocks of k at once.
constexpr int kLoneBlocks = 64;
constexpr int kLoneAhead = 8;

// What a lane holds of a block of k: its share of each tile and of each eight rows.
template <int kTiles, int kRowGroups>
struct Block {
  uint4 weights[kTiles][4];
  uint4 rows[kRowGroups][2];
};

// Reads this lane's share of the weights of block `k`. Tiles that there are not become zeros.
template <int kTiles, int kRowGroups>
__device__ __forceinline__ void LoadWeights(const Product& product, int first_tile, int k,
                                            Block<kTiles, kRowGroups>& block) {
  const int lane = threadIdx.x % kWarpSize;
  const int num_blocks = product.in_features / kBlockK;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
    const auto* tile = static_cast<const unsigned char*>(product.weight) +
                       BlockIndex(first_tile + m, k, num_blocks) * kBlockBytes;
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      block.weights[m][step] = make_uint4(0, 0, 0, 0);
      if (first_tile + m < product.num_tiles) {
        block.weights[m][step] =
            LoadOnce(reinterpret_cast<const uint4*>(tile + step * kStepBytes) + lane);
      }
    }
  }
}

// The same of the rows.
template <int kTiles, int kRowGroups>
__device__ __forceinline__ void LoadRows(const Product& product, int k,
                                         Block<kTiles, kRowGroups>& block) {
  const int lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int n = 0; n < kRowGroups; ++n) {
    const int row = n * 8 + lane / 4;
    const auto* share = reinterpret_cast<const uint4*>(
        static_cast<const uint16_t*>(product.input) +
        static_cast<int64_t>(row) * product.in_features + k * kBlockK + lane % 4 * 16);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      block.rows[n][half] = row < product.num_rows ? share[half] : make_uint4(0, 0, 0, 0);
    }
  }
}

// Both, where `k` lies before `end`.
template <int kTiles, int kRowGroups>
__device__ __forceinline__ void LoadAhead(const Product& product, int first_tile, int k, int end,
                                          Block<kTiles, kRowGroups>& block) {
  if (k >= end) return;
  LoadWeights(product, first_tile, k, block);
  LoadRows(product, k, block);
}

template <int kTiles, int kRowGroups>
__device__ __forceinline__ void AddBlock(const Block<kTiles, kRowGroups>& block,
                                         float (&sums)[kTiles][kRowGroups][4]) {
#pragma unroll
  for (int step = 0; step < 4; ++step) {
#pragma unroll
    for (int n = 0; n < kRowGroups; ++n) {
      const uint4& row = block.rows[n][step / 2];
      const uint32_t b0 = step % 2 == 0 ? row.x : row.z;
      const uint32_t b1 = step % 2 == 0 ? row.y : row.w;
#pragma unroll
      for (int m = 0; m < kTiles; ++m) {
        const uint4& a = block.weights[m][step];
        MultiplyAdd(sums[m][n], a.x, a.y, a.z, a.w, b0, b1);
      }
    }
  }
}

// A block of threads makes kTiles tiles of outputs for up to 8 kRowGroups rows; its warps take a
// part of k each, and have kAhead blocks of it on their way. `await_rows` is called before anything
// but weights is read.
template <int kTiles, int kRowGroups, int kAhead, Epilogue kEpilogue, typename AwaitRows>
__device__ __forceinline__ void MultiplyFewRows(const Product& product,
                                                const AwaitRows& await_rows) {
  constexpr int kRowFloats = kTiles * kTileRows + kPadding;
  constexpr int kPartFloats = kRowGroups * 8 * kRowFloats;
  const int first_tile = static_cast<int>(blockIdx.x) * kTiles;
  const int part = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int num_blocks = product.in_features / kBlockK;
  const int begin = PartBegin(num_blocks, part), end = PartBegin(num_blocks, part + 1);

  float sums[kTiles][kRowGroups][4] = {};
  Block<kTiles, kRowGroups> ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (begin + i < end) LoadWeights(product, first_tile, begin + i, ahead[i]);
  }
  await_rows();
  if (first_tile >= product.num_tiles) return;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (begin + i < end) LoadRows(product, begin + i, ahead[i]);
  }
  for (int first = begin; first < end; first += kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int k = first + i;
      if (k >= end) break;
      // With one block ahead, it must be on its way before this one is added; with many, those
      // behind are, and a copy would take registers.
      if constexpr (kAhead == 1) {
        const Block<kTiles, kRowGroups> block = ahead[i];
        LoadAhead(product, first_tile, k + kAhead, end, ahead[i]);
        AddBlock(block, sums);
      } else {
        AddBlock(ahead[i], sums);
        LoadAhead(product, first_tile, k + kAhead, end, ahead[i]);
      }
    }
  }

  float* const shared = reinterpret_cast<float*>(DynamicShared());  // [kParts][rows][kRowFloats]
  float* const own = shared + part * kPartFloats;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kRowGroups; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = n * 8 + lane % 4 * 2 + i % 2;
        own[row * kRowFloats + m * kTileRows + lane / 4 + i / 2 * 8] = sums[m][n][i];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kTiles * kRowGroups * 64; i += kThreads) {
    const int g = i % 8, m = i / 8 % kTiles, row = i / (8 * kTiles);
    if (row >= product.num_rows || first_tile + m >= product.num_tiles) continue;
    float low = 0, high = 0;
    for (int p = 0; p < kParts; ++p) {
      const float* sum = shared + p * kPartFloats + row * kRowFloats + m * kTileRows + g;
      low += sum[0];
      high += sum[8];
    }
    StorePair<kEpilogue, Bf16Output>(product, first_tile + m, g, row, low, high);
  }
}

template <int kTiles, int kRowGroups, int kAhead, Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads)
    FewRowsKernel(const __grid_constant__ ProductList products) {
  LetNextStart();
  // The first weights, which no kernel ahead writes, come while that one still runs.
  MultiplyFewRows<kTiles, kRowGroups, kAhead, kEpilogue>(products.product[blockIdx.y],
                                                         [] { AwaitPrevious(); });
}

template <int kTiles, int kRowGroups, Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads) RoutedFewRowsKernel(const Product* products) {
  LetNextStart();
  AwaitPrevious();
  const Product product = products[blockIdx.y];
  if (product.num_rows == 0) return;
  MultiplyFewRows<kTiles, kRowGroups, 1, kEpilogue>(product, [] {});
}

template <int kTiles, int kRowGroups>
LaunchShape Shape(int num_tiles, int count) {
  LaunchShape shape;
  shape.grid = dim3(DivideUp(num_tiles, kTiles), static_cast<unsigned>(count));
  shape.block = dim3(kThreads);
  shape.shared_bytes = sizeof(float) * kParts * kRowGroups * 8 * (kTiles * kTileRows + kPadding);
  return shape;
}

// Calls `run` with a block's tiles and groups of eight rows as template arguments.
template <typename Run>
void WithBlockFor(int max_rows, const Run& run) {
  if (max_rows <= 8) return run.template operator()<1, 1>();
  if (max_rows <= 16) return run.template operator()<2, 2>();
  return run.template operator()<2, 4>();
}

}  // namespace

void RunFewRows(Context& context, const ProductList& list, int count, int max_rows,
                Epilogue epilogue) {
  int max_tiles = 0;
  for (int i = 0; i < count; ++i) {
    max_tiles = list.product[i].num_tiles > max_tiles ? list.product[i].num_tiles : max_tiles;
  }
  const auto run = [&]<int kTiles, int kRowGroups, int kAhead>() {
    WithEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
      Launch(context, "product of few rows", Shape<kTiles, kRowGroups>(max_tiles, count),
             &FewRowsKernel<kTiles, kRowGroups, kAhead, kEpilogue>, list);
    });
  };
  if (max_rows <= 8 && max_tiles * count <= kLoneBlocks) {
    run.template operator()<1, 1, kLoneAhead>();
    return;
  }
  WithBlockFor(max_rows, [&]<int kTiles, int kRowGroups>() {
    run.template operator()<kTiles, kRowGroups, 1>();
  });
}

void RunRoutedFewRows(Context& context, const RoutedProducts& products, Epilogue epilogue) {
  WithBlockFor(products.few_rows, [&]<int kTiles, int kRowGroups>() {
    WithExpertEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
      Launch(context, "product of few routed rows",
             Shape<kTiles, kRowGroups>(products.num_tiles, products.max_few),
             &RoutedFewRowsKernel<kTiles, kRowGroups, kEpilogue>, products.few);
    });
  });
}

}  // namespace tramontane::cuda
