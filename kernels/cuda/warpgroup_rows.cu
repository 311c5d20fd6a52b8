// Products of many rows as compute capability 9.0 makes them fastest: one thread copies, two
// warpgroups multiply what has come. Two blocks of threads, a cluster, have the same rows and other
// outputs: each copies half of the rows to both, as the L2 cache is what would limit them.
#include "kernels/cuda/warpgroup_rows.h"

#include <type_traits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack_inputs.h"
#include "kernels/cuda/routed_block.cuh"
#include "kernels/cuda/store_pair.cuh"
#include "kernels/cuda/warpgroup.cuh"

namespace tramontane::cuda {
namespace {

// A block of threads makes 8 tiles (128 outputs) for kRows rows at a time, 4 tiles by all rows in a
// warpgroup: at most 192, as the sums of a part and those of all parts take a register each. Fewer
// rows leave room for more stages, which keep the memory busy.
constexpr int kMultipliers = 2;
constexpr int kThreads = (kMultipliers + 1) * kWarpgroupThreads;
constexpr int kBlockTiles = kMultipliers * 4;
static_assert(kBlockTiles == kGroupTiles, "a block of a group is copied in one piece");
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

// What a block of threads multiplies: the rows of its cluster, and tiles of its own.
struct Part {
  const Product* product;  // not a copy: multipliers have no registers for it
  int first_row, first_tile;
};

template <int kRows>
__device__ __forceinline__ bool FindPart(const Product* products, int count, int index,
                                         Part& part) {
  const RoutedBlock block = FindBlock<kRows, kBlockTiles * kClusterBlocks>(products, count, index);
  if (block.product < 0) return false;
  part.product = products + block.product;
  part.first_row = block.first_row;
  part.first_tile = block.first_tile + BlockOfCluster() * kBlockTiles;
  return true;
}

// One thread copies all that a block multiplies, as far ahead as there are stages.
template <int kRows>
__device__ __forceinline__ void CopyPart(const Part& part, Ring<kRows>& ring) {
  const Product& product = *part.product;
  const int num_blocks = product.in_features / kBlockK;
  const bool has_tiles = part.first_tile < product.num_tiles;
  const int64_t padded_rows = PaddedRows(product.num_rows);
  // This block's share of the rows, in groups of eight.
  const int num_groups = min(kRows, static_cast<int>(padded_rows) - part.first_row) / 8;
  const int share = (num_groups + kClusterBlocks - 1) / kClusterBlocks;
  const int first_group = min(BlockOfCluster() * share, num_groups);
  const int share_bytes = (min(first_group + share, num_groups) - first_group) * kRowGroupBytes;
  const int stage_bytes = (has_tiles ? kWeightBytes : 0) + num_groups * kRowGroupBytes;
  const auto* weight = static_cast<const unsigned char*>(product.weight) +
                       BlockIndex(part.first_tile, 0, num_blocks) * kBlockBytes;
  const auto* rows = static_cast<const unsigned char*>(product.packed_rows) +
                     int64_t{part.first_row} * kRowBytes + first_group * kRowGroupBytes;
  for (int k = 0; k < num_blocks; ++k) {
    AwaitBarrier(&ring.emptied[ring.index], ring.parity ^ 1);
    uint64_t* const filled = &ring.filled[ring.index];
    ArriveExpecting(filled, stage_bytes);
    unsigned char* const stage = ring.stage();
    if (share_bytes > 0) {
      CopyBulkToCluster(stage + kWeightBytes + first_group * kRowGroupBytes, rows, share_bytes,
                        filled);
    }
    if (has_tiles) CopyBulk(stage, weight, kWeightBytes, filled);
    weight += kWeightBytes;
    rows += padded_rows * kRowBytes;
    ring.Next();
  }
}

// A warp has used a stage: it is filled again once those of all blocks of the cluster have.
__device__ __forceinline__ void Release(uint64_t* emptied) {
  SyncWarp();  // what the other lanes have read is behind this, too
  const int lane = threadIdx.x % kWarpSize;
  if (lane < kClusterBlocks) ArriveAt(emptied, lane);
}

// Both halves of a stage, so that one is multiplied while the other's weights are read. `before`,
// the barrier of the stage before (null: none), is told that it has been used, once it has.
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
    if (half == 0 && before != nullptr) Release(before);
  }
}

// Stores what a thread has of eight rows, sums of features g and g + 8 of a tile. All that is read
// for it is read first.
template <Epilogue kEpilogue>
__device__ __forceinline__ void StoreRows(const Product& product, int tile, int first_row,
                                          const float* totals) {
  const int g = threadIdx.x % kWarpSize / 4, t = threadIdx.x % 4;
  int64_t first[8];  // element of the output where the row begins; -1: none
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = first_row + i / 2 * 8 + t * 2 + i % 2;
    first[i] = -1;
    if (row >= product.num_rows || tile >= product.num_tiles) continue;
    first[i] =
        (product.output_rows == nullptr ? row : product.output_rows[row]) * product.output_stride;
  }
  if constexpr (kEpilogue == Epilogue::kAddFloat) {
    float* const output = static_cast<float*>(product.output);
    float before[16];
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int column = tile * 16 + g + i % 2 * 8;
      const bool stored = first[i / 2] >= 0 && column < product.num_columns;
      before[i] = stored ? output[first[i / 2] + column] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int column = tile * 16 + g + i % 2 * 8;
      if (first[i / 2] < 0 || column >= product.num_columns) continue;
      output[first[i / 2] + column] = before[i] + totals[i / 4 * 4 + i / 2 % 2 + i % 2 * 2];
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (first[i] < 0) continue;
      StorePairAt<kEpilogue, Bf16Output>(product, tile, g, first[i], totals[i / 2 * 4 + i % 2],
                                         totals[i / 2 * 4 + i % 2 + 2]);
    }
  }
}

template <int kRows, Epilogue kEpilogue, bool kRouted>
__device__ __forceinline__ void MultiplyPart(const Part& part, Ring<kRows>& ring) {
  const int num_blocks = part.product->in_features / kBlockK;
  float sums[kRows / 2], totals[kRows / 2];
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) totals[i] = 0;
  for (int p = 0; p < kParts; ++p) {
    const int begin = PartBegin(num_blocks, p), end = PartBegin(num_blocks, p + 1);
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
    Release(before);
#pragma unroll
    for (int i = 0; i < kRows / 2; ++i) totals[i] += sums[i];
  }
  // Of what lies in memory, as routed products do, each member would be read again after every
  // store: a copy takes registers that held sums. Those of a kernel's parameters take none.
  std::conditional_t<kRouted, const Product, const Product&> product = *part.product;
  const int tile = part.first_tile + threadIdx.x / kWarpSize;
#pragma unroll
  for (int n = 0; n < kRows / 8; n += 4) {
    StoreRows<kEpilogue>(product, tile, part.first_row + n * 8, totals + n * 4);
    HoldSums(totals);  // what is read for the next rows would not fit into registers
  }
}

// Parts in turn; the copier and both warpgroups, of all blocks of a cluster, go through the same
// rows and k.
template <int kRows>
__device__ __forceinline__ void CopyParts(const Product* products, int count, Ring<kRows>& ring) {
  Part part;
  for (int index = blockIdx.x / kClusterBlocks; FindPart<kRows>(products, count, index, part);
       index += gridDim.x / kClusterBlocks) {
    CopyPart(part, ring);
  }
}

template <int kRows, Epilogue kEpilogue, bool kRouted>
__device__ __forceinline__ void MultiplyParts(const Product* products, int count,
                                              Ring<kRows>& ring) {
  Part part;
  for (int index = blockIdx.x / kClusterBlocks; FindPart<kRows>(products, count, index, part);
       index += gridDim.x / kClusterBlocks) {
    MultiplyPart<kRows, kEpilogue, kRouted>(part, ring);
  }
}

template <int kRows, Epilogue kEpilogue, bool kRouted>
__device__ __forceinline__ void MultiplyManyRows(const Product* products, int count) {
  if constexpr (!kHasWarpgroups) {
    Trap();
    return;
  }
  Ring<kRows> ring;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages<kRows>; ++i) {
      InitBarrier(&ring.filled[i], 1);
      InitBarrier(&ring.emptied[i], kClusterBlocks * kMultipliers * 4);
    }
    PublishBarriers();
  }
  SyncCluster();
  // One branch or the other, so that each has registers of its own.
  if (threadIdx.x >= kMultipliers * kWarpgroupThreads) {
    GiveRegistersUpTo<kCopierRegisters>();
    if (threadIdx.x == kMultipliers * kWarpgroupThreads) CopyParts(products, count, ring);
  } else {
    TakeRegistersUpTo<kMultiplierRegisters>();
    MultiplyParts<kRows, kEpilogue, kRouted>(products, count, ring);
  }
  SyncCluster();  // until then other blocks arrive at this one's barriers
}

template <int kRows, Epilogue kEpilogue>
__global__ void TRAMONTANE_CLUSTER __launch_bounds__(kThreads, 1)
    WarpgroupRowsKernel(const __grid_constant__ ProductList products) {
  LetNextStart();
  AwaitPrevious();
  MultiplyManyRows<kRows, kEpilogue, false>(products.product, static_cast<int>(products.count));
}

template <int kRows, Epilogue kEpilogue>
__global__ void TRAMONTANE_CLUSTER __launch_bounds__(kThreads, 1)
    RoutedWarpgroupRowsKernel(const Product* products, int max_products) {
  LetNextStart();
  AwaitPrevious();
  MultiplyManyRows<kRows, kEpilogue, true>(products, max_products);
}

// A cluster for each of `max_parts`, or as many as run at a time: one block of threads takes a
// multiprocessor.
template <int kRows>
LaunchShape Shape(const Context& context, int64_t max_parts) {
  const int clusters = context.num_multiprocessors / kClusterBlocks;
  const int64_t at_once = clusters > 1 ? clusters : 1;
  LaunchShape shape =
      Blocks((max_parts < at_once ? max_parts : at_once) * kClusterBlocks, kThreads);
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
int64_t NumPartsOf(const ProductList& list) {
  int64_t parts = 0;
  for (int i = 0; i < list.count; ++i) {
    parts += int64_t{DivideUp(list.product[i].num_rows, kRows)} *
             DivideUp(list.product[i].num_tiles, kBlockTiles * kClusterBlocks);
  }
  return parts;
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
  std::byte* const packed = ReservePackedRows(context, num_rows, kMaxProducts, max_features);
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
      Launch(context, "product of many rows", Shape<kRows>(context, NumPartsOf<kRows>(list)),
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
             Shape<kRows>(context, MaxBlocks<kRows, kBlockTiles * kClusterBlocks>(products)),
             &RoutedWarpgroupRowsKernel<kRows, kEpilogue>, products.many, products.max_many);
    });
  });
}

}  // namespace tramontane::cuda
