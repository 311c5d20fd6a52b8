// Products of many rows as compute capability 9.0 makes them fastest: one warp copies, two
// warpgroups multiply what has come.
#include "kernels/cuda/warpgroup_rows.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack_inputs.h"
#include "kernels/cuda/routed_block.cuh"
#include "kernels/cuda/store_pair.cuh"
#include "kernels/cuda/warpgroup.cuh"

namespace tramontane::cuda {
namespace {

// A block of threads makes 8 tiles (128 outputs) for kRows rows at a time, 4 tiles by all rows in a
// warpgroup: at most 192, as the sums of a part and those of all parts take a register each.
constexpr int kMultipliers = 2;
constexpr int kThreads = (kMultipliers + 1) * kWarpgroupThreads;
constexpr int kBlockTiles = kMultipliers * 4;
constexpr int kCopierRegisters = 40, kMultiplierRegisters = 232;
// A stage is kBlockK of k; as many as shared memory holds.
constexpr int kWeightBytes = kBlockTiles * kBlockBytes;
constexpr int kRowBytes = kBlockK * 2;
constexpr int kAlignment = 128;  // of what is copied and multiplied
template <int kRows>
inline constexpr int kStageBytes = kWeightBytes + kRows* kRowBytes;
template <int kRows>
inline constexpr int kStages = 205 * 1024 / kStageBytes<kRows>;
template <int kRows>
inline constexpr int kSharedBytes = kStages<kRows>*(kStageBytes<kRows> + 2 * 8) + kAlignment;

// Stages in turn: `filled` says that a stage's bytes have come, `emptied` that they have been used.
template <int kRows>
struct Ring {
  unsigned char* stages;
  uint64_t* filled;
  uint64_t* emptied;
  int index = 0, parity = 0;

  __device__ __forceinline__ Ring() {
    unsigned char* const shared = DynamicShared();
    stages = shared + (kAlignment - SharedAddress(shared) % kAlignment) % kAlignment;
    filled = reinterpret_cast<uint64_t*>(stages + kStages<kRows> * kStageBytes<kRows>);
    emptied = filled + kStages<kRows>;
  }
  __device__ __forceinline__ unsigned char* stage() const {
    return stages + index * kStageBytes<kRows>;
  }
  __device__ __forceinline__ void Next() {
    if (++index < kStages<kRows>) return;
    index = 0;
    parity ^= 1;
  }
};

// One thread copies all that a block multiplies, as far ahead as there are stages.
template <int kRows>
__device__ __forceinline__ void CopyTile(const Product& product, const RoutedBlock& block,
                                         Ring<kRows>& ring) {
  const int num_blocks = product.in_features / kBlockK;
  const int num_tiles = min(kBlockTiles, product.num_tiles - block.first_tile);
  const int64_t padded_rows = PaddedRows(product.num_rows);
  const int row_bytes = min(kRows, static_cast<int>(padded_rows) - block.first_row) * kRowBytes;
  const auto* weight = static_cast<const unsigned char*>(product.weight) +
                       int64_t{block.first_tile} * num_blocks * kBlockBytes;
  const auto* rows =
      static_cast<const unsigned char*>(product.packed_rows) + int64_t{block.first_row} * kRowBytes;
  for (int k = 0; k < num_blocks; ++k) {
    AwaitBarrier(&ring.emptied[ring.index], ring.parity ^ 1);
    uint64_t* const filled = &ring.filled[ring.index];
    ArriveExpecting(filled, num_tiles * kBlockBytes + row_bytes);
    unsigned char* const stage = ring.stage();
    for (int tile = 0; tile < num_tiles; ++tile) {
      CopyBulk(stage + tile * kBlockBytes, weight + (int64_t{tile} * num_blocks + k) * kBlockBytes,
               kBlockBytes, filled);
    }
    CopyBulk(stage + kWeightBytes, rows + k * padded_rows * kRowBytes, row_bytes, filled);
    ring.Next();
  }
}

// Both halves of a stage, so that one is multiplied while the other's weights are read. `emptied`
// is told that the stage before (null: none) has been used, once it has.
template <int kRows>
__device__ __forceinline__ void MultiplyStage(const unsigned char* stage, bool add,
                                              uint64_t* before, float (&sums)[kRows / 2]) {
  const int tile = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const auto* const weights = reinterpret_cast<const uint4*>(stage + tile * kBlockBytes) + lane;
  const unsigned char* const rows = stage + kWeightBytes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 first = weights[half * 2 * kWarpSize];
    const uint4 second = weights[(half * 2 + 1) * kWarpSize];
    HoldSums(sums);
    BeginProducts();
    MultiplyRows<kRows>(sums, first, rows + half * 4 * kHalfStepBytes, add || half > 0);
    MultiplyRows<kRows>(sums, second, rows + (half * 4 + 2) * kHalfStepBytes, true);
    CommitProducts();
    AwaitProducts<1>();
    HoldSums(sums);
    if (half == 0 && before != nullptr && lane == 0) Arrive(before);
  }
}

template <int kRows, Epilogue kEpilogue>
__device__ __forceinline__ void MultiplyTile(const Product& product, const RoutedBlock& block,
                                             Ring<kRows>& ring) {
  const int num_blocks = product.in_features / kBlockK;
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  float sums[kRows / 2], totals[kRows / 2];
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) totals[i] = 0;
  for (int part = 0; part < kParts; ++part) {
    const int begin = PartBegin(num_blocks, part), end = PartBegin(num_blocks, part + 1);
    if (begin == end) continue;
    uint64_t* before = nullptr;
    for (int k = begin; k < end; ++k) {
      AwaitBarrier(&ring.filled[ring.index], ring.parity);
      MultiplyStage<kRows>(ring.stage(), k > begin, before, sums);
      before = &ring.emptied[ring.index];
      ring.Next();
    }
    AwaitProducts<0>();
    HoldSums(sums);
    if (lane == 0) Arrive(before);
#pragma unroll
    for (int i = 0; i < kRows / 2; ++i) totals[i] += sums[i];
  }
  const int tile = block.first_tile + warp;
#pragma unroll
  for (int n = 0; n < kRows / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = block.first_row + n * 8 + lane % 4 * 2 + i;
      if (row >= product.num_rows || tile >= product.num_tiles) continue;
      StorePair<kEpilogue, Bf16Output>(product, tile, lane / 4, row, totals[4 * n + i],
                                       totals[4 * n + i + 2]);
    }
  }
}

// Blocks of rows and tiles in turn; the copier and both warpgroups go through the same ones.
template <int kRows>
__device__ __forceinline__ void CopyTiles(const Product* products, int count, Ring<kRows>& ring) {
  for (int index = blockIdx.x;; index += gridDim.x) {
    const RoutedBlock block = FindBlock<kRows, kBlockTiles>(products, count, index);
    if (block.product < 0) break;
    CopyTile(products[block.product], block, ring);
  }
}

template <int kRows, Epilogue kEpilogue>
__device__ __forceinline__ void MultiplyTiles(const Product* products, int count,
                                              Ring<kRows>& ring) {
  for (int index = blockIdx.x;; index += gridDim.x) {
    const RoutedBlock block = FindBlock<kRows, kBlockTiles>(products, count, index);
    if (block.product < 0) break;
    MultiplyTile<kRows, kEpilogue>(products[block.product], block, ring);
  }
}

template <int kRows, Epilogue kEpilogue>
__device__ __forceinline__ void MultiplyManyRows(const Product* products, int count) {
  if constexpr (!kHasWarpgroups) {
    Trap();
    return;
  }
  Ring<kRows> ring;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages<kRows>; ++i) {
      InitBarrier(&ring.filled[i], 1);
      InitBarrier(&ring.emptied[i], kMultipliers * 4);
    }
    PublishBarriers();
  }
  __syncthreads();
  // One branch or the other, so that each has registers of its own.
  if (threadIdx.x >= kMultipliers * kWarpgroupThreads) {
    GiveRegistersUpTo<kCopierRegisters>();
    if (threadIdx.x == kMultipliers * kWarpgroupThreads) CopyTiles(products, count, ring);
  } else {
    TakeRegistersUpTo<kMultiplierRegisters>();
    MultiplyTiles<kRows, kEpilogue>(products, count, ring);
  }
}

template <int kRows, Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads, 1)
    WarpgroupRowsKernel(const __grid_constant__ ProductList products) {
  MultiplyManyRows<kRows, kEpilogue>(products.product, static_cast<int>(products.count));
}

template <int kRows, Epilogue kEpilogue>
__global__ void __launch_bounds__(kThreads, 1)
    RoutedWarpgroupRowsKernel(const Product* products, int max_products) {
  MultiplyManyRows<kRows, kEpilogue>(products, max_products);
}

// One block of threads a multiprocessor, or fewer where there are no more blocks of rows and tiles.
template <int kRows>
LaunchShape Shape(const Context& context, int64_t max_blocks) {
  LaunchShape shape =
      Blocks(max_blocks < context.num_multiprocessors ? max_blocks : context.num_multiprocessors,
             kThreads);
  shape.shared_bytes = kSharedBytes<kRows>;
  shape.warpgroups = true;
  return shape;
}

// Calls `run` with a block's rows as a template argument, for products of at most `max_rows` rows.
template <typename Run>
void WithRowsFor(int64_t max_rows, const Run& run) {
  if (max_rows <= 64) return run.template operator()<64>();
  if (max_rows <= 128) return run.template operator()<128>();
  return run.template operator()<192>();
}

template <int kRows>
int64_t NumBlocksOf(const ProductList& list) {
  int64_t blocks = 0;
  for (int i = 0; i < list.count; ++i) {
    blocks += int64_t{DivideUp(list.product[i].num_rows, kRows)} *
              DivideUp(list.product[i].num_tiles, kBlockTiles);
  }
  return blocks;
}

}  // namespace

std::byte* ReservePackedRows(Context& context, int64_t max_rows, int64_t max_products,
                             int64_t in_features) {
  return context.packed_rows.Reserve(
      context, FirstPackedRow(max_rows, max_products) * in_features * int64_t{sizeof(uint16_t)});
}

void RunWarpgroupRows(Context& context, ProductList& list, int count, Epilogue epilogue) {
  int64_t num_rows = 0, most_rows = 0, max_features = 0;
  for (int i = 0; i < count; ++i) {
    const Product& product = list.product[i];
    num_rows += product.num_rows;
    most_rows = product.num_rows > most_rows ? product.num_rows : most_rows;
    max_features = product.in_features > max_features ? product.in_features : max_features;
  }
  const int64_t max_rows = num_rows > context.max_rows ? num_rows : context.max_rows;
  std::byte* const packed = ReservePackedRows(context, max_rows, kMaxProducts, max_features);
  if (context.failed()) return;
  num_rows = 0;
  for (int i = 0; i < count; ++i) {
    Product& product = list.product[i];
    product.packed_rows =
        packed + FirstPackedRow(num_rows, i) * max_features * int64_t{sizeof(uint16_t)};
    num_rows += product.num_rows;
  }
  list.count = count;
  PackInputs(context, list, count);
  WithRowsFor(most_rows, [&]<int kRows>() {
    WithEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
      Launch(context, "product of many rows", Shape<kRows>(context, NumBlocksOf<kRows>(list)),
             &WarpgroupRowsKernel<kRows, kEpilogue>, list);
    });
  });
}

void RunRoutedWarpgroupRows(Context& context, const RoutedProducts& products, Epilogue epilogue) {
  PackRoutedInputs(context, products);
  // At most one row of each token goes to one expert.
  WithRowsFor(products.max_rows_of_one, [&]<int kRows>() {
    WithExpertEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
      Launch(context, "product of many routed rows",
             Shape<kRows>(context, MaxBlocks<kRows, kBlockTiles>(products)),
             &RoutedWarpgroupRowsKernel<kRows, kEpilogue>, products.many, products.max_many);
    });
  });
}

}  // namespace tramontane::cuda
