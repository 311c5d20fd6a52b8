// Products of many rows, on the tensor cores out of shared memory.
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_tiles.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/routed_block.cuh"
#include "kernels/cuda/store_pair.cuh"

namespace tramontane::cuda {
namespace {

// A block of threads makes 8 tiles (128 outputs) for 128 rows: its 8 warps 4 tiles by 32 rows each.
constexpr int kThreads = 256;
constexpr int kBlockTiles = 8;
constexpr int kBlockRows = 128;
constexpr int kWarpTiles = 4;
constexpr int kWarpRowGroups = 4;
// Of kBlockK of k, three of them in shared memory at a time.
constexpr int kStages = 3;
constexpr int kWeightBytes = kBlockTiles * kBlockBytes;
constexpr int kRowBytes = kBlockK * 2;
constexpr int kStageBytes = kWeightBytes + kBlockRows * kRowBytes;

// Where 16 bytes of a row lie in a stage: rows in turn swap neighbours, so that the lanes which
// read at once meet in no bank.
__device__ __forceinline__ int RowChunk(int row, int chunk) {
  return row * kRowBytes + (chunk ^ (row & 1)) * 16;
}

__device__ __forceinline__ void LoadStage(const Product& product, int first_tile, int first_row,
                                          int k, unsigned char* stage) {
  const int num_blocks = product.in_features / kBlockK;
  const auto* weight = static_cast<const unsigned char*>(product.weight);
  for (int i = threadIdx.x; i < kWeightBytes / 16; i += kThreads) {
    const int tile = i / (kBlockBytes / 16), chunk = i % (kBlockBytes / 16);
    const bool valid = first_tile + tile < product.num_tiles;
    const int64_t block = BlockIndex(valid ? first_tile + tile : 0, k, num_blocks);
    CopyAsync(stage + i * 16, weight + block * kBlockBytes + chunk * 16, valid);
  }
  const auto* input = static_cast<const unsigned char*>(product.input);
  for (int i = threadIdx.x; i < kBlockRows * kRowBytes / 16; i += kThreads) {
    const int row = i / (kRowBytes / 16), chunk = i % (kRowBytes / 16);
    const bool valid = first_row + row < product.num_rows;
    const int64_t source = static_cast<int64_t>(valid ? first_row + row : 0) * product.in_features;
    CopyAsync(stage + kWeightBytes + RowChunk(row, chunk),
              input + (source + k * kBlockK) * 2 + chunk * 16, valid);
  }
}

using Sums = float[kWarpTiles][kWarpRowGroups][4];

__device__ __forceinline__ void AddStage(const unsigned char* stage, Sums& sums) {
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int first_tile = warp / 4 * kWarpTiles, first_row = warp % 4 * kWarpRowGroups * 8;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint4 rows[kWarpRowGroups];
#pragma unroll
    for (int n = 0; n < kWarpRowGroups; ++n) {
      const int row = first_row + n * 8 + lane / 4;
      rows[n] = *reinterpret_cast<const uint4*>(stage + kWeightBytes +
                                                RowChunk(row, lane % 4 * 2 + half));
    }
#pragma unroll
    for (int step = half * 2; step < half * 2 + 2; ++step) {
#pragma unroll
      for (int m = 0; m < kWarpTiles; ++m) {
        const uint4 a = *reinterpret_cast<const uint4*>(stage + (first_tile + m) * kBlockBytes +
                                                        step * kStepBytes + lane * 16);
#pragma unroll
        for (int n = 0; n < kWarpRowGroups; ++n) {
          const uint4& row = rows[n];
          MultiplyAdd(sums[m][n], a.x, a.y, a.z, a.w, step % 2 == 0 ? row.x : row.z,
                      step % 2 == 0 ? row.y : row.w);
        }
      }
    }
  }
}

// totals += sums, which become zero.
__device__ __forceinline__ void AddPart(Sums& sums, Sums& totals) {
#pragma unroll
  for (int m = 0; m < kWarpTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kWarpRowGroups; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        totals[m][n][i] += sums[m][n][i];
        sums[m][n][i] = 0;
      }
    }
  }
}

template <Epilogue kEpilogue>
__device__ __forceinline__ void StoreTotals(const Product& product, int first_tile, int first_row,
                                            const Sums& totals) {
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
#pragma unroll
  for (int m = 0; m < kWarpTiles; ++m) {
    const int tile = first_tile + warp / 4 * kWarpTiles + m;
#pragma unroll
    for (int n = 0; n < kWarpRowGroups; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = first_row + (warp % 4 * kWarpRowGroups + n) * 8 + lane % 4 * 2 + i;
        if (tile >= product.num_tiles || row >= product.num_rows) continue;
        StorePair<kEpilogue, Bf16Output>(product, tile, lane / 4, row, totals[m][n][i],
                                         totals[m][n][i + 2]);
      }
    }
  }
}

// Rows and tiles from the given ones on, which there are.
template <Epilogue kEpilogue>
__device__ __forceinline__ void MultiplyBlock(const Product& product, int first_row,
                                              int first_tile) {
  const int num_blocks = product.in_features / kBlockK;
  unsigned char* const stages = DynamicShared();

  // Every turn commits one group, of nothing at the end, so that the count of groups is that of
  // blocks.
  for (int k = 0; k < kStages - 1; ++k) {
    if (k < num_blocks) {
      LoadStage(product, first_tile, first_row, k, stages + k * kStageBytes);
    }
    CommitCopies();
  }
  Sums sums = {}, totals = {};
  int part_end = 0, part = -1;
  for (int k = 0; k < num_blocks; ++k) {
    while (part_end <= k) part_end = PartBegin(num_blocks, ++part + 1);
    AwaitCopies<kStages - 2>();
    __syncthreads();  // stage k is there for all, and all have done with stage k - 1
    if (k + kStages - 1 < num_blocks) {
      LoadStage(product, first_tile, first_row, k + kStages - 1,
                stages + (k + kStages - 1) % kStages * kStageBytes);
    }
    CommitCopies();
    AddStage(stages + k % kStages * kStageBytes, sums);
    if (k + 1 == part_end) AddPart(sums, totals);
  }
  StoreTotals<kEpilogue>(product, first_tile, first_row, totals);
}

template <Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads, 1)
    ManyRowsKernel(const __grid_constant__ ProductList products) {
  LetNextStart();
  AwaitPrevious();
  const Product& product = products.product[blockIdx.z];
  const int first_row = static_cast<int>(blockIdx.x) * kBlockRows;
  const int first_tile = static_cast<int>(blockIdx.y) * kBlockTiles;
  if (first_row >= product.num_rows || first_tile >= product.num_tiles) return;
  MultiplyBlock<kEpilogue>(product, first_row, first_tile);
}

template <Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads, 1)
    RoutedManyRowsKernel(const Product* products, int max_products) {
  LetNextStart();
  AwaitPrevious();
  const RoutedBlock block =
      FindBlock<kBlockRows, kBlockTiles>(products, max_products, static_cast<int>(blockIdx.x));
  if (block.product < 0) return;
  const Product product = products[block.product];
  MultiplyBlock<kEpilogue>(product, block.first_row, block.first_tile);
}

}  // namespace

void RunManyRows(Context& context, const ProductList& list, int count, Epilogue epilogue) {
  int max_rows = 0, max_tiles = 0;
  for (int i = 0; i < count; ++i) {
    max_rows = list.product[i].num_rows > max_rows ? list.product[i].num_rows : max_rows;
    max_tiles = list.product[i].num_tiles > max_tiles ? list.product[i].num_tiles : max_tiles;
  }
  LaunchShape shape;
  shape.grid = dim3(DivideUp(max_rows, kBlockRows), DivideUp(max_tiles, kBlockTiles),
                    static_cast<unsigned>(count));
  shape.block = dim3(kThreads);
  shape.shared_bytes = size_t{kStages} * kStageBytes;
  WithEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
    Launch(context, "product of many rows", shape, &ManyRowsKernel<kEpilogue>, list);
  });
}

void RunRoutedManyRows(Context& context, const RoutedProducts& products, Epilogue epilogue) {
  LaunchShape shape = Blocks(MaxBlocks<kBlockRows, kBlockTiles>(products), kThreads);
  shape.shared_bytes = size_t{kStages} * kStageBytes;
  WithExpertEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
    Launch(context, "product of many routed rows", shape, &RoutedManyRowsKernel<kEpilogue>,
           products.many, products.max_many);
  });
}

}  // namespace tramontane::cuda
