// Rows as warpgroups read them.
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack_inputs.h"
#include "kernels/cuda/warpgroup_rows.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 256;
// A thread packs a row's 64 k of a block; eight neighbours those of eight rows.
constexpr int kUnitsAtOnce = kThreads / 8;
constexpr int kRowBytes = kBlockK * 2;

__device__ __forceinline__ void PackBlock(const Product& product, int64_t group, int block) {
  const int r = threadIdx.x % 8;
  const int64_t row = group * 8 + r;
  // Words of the row's part, lane t's eight from 8 t on; zeros where there is no row.
  uint32_t words[32] = {};
  if (row < product.num_rows) {
    const auto* from =
        reinterpret_cast<const uint4*>(static_cast<const unsigned char*>(product.input) +
                                       (row * product.in_features + int64_t{block} * kBlockK) * 2);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint4 four = from[i];
      words[4 * i] = four.x;
      words[4 * i + 1] = four.y;
      words[4 * i + 2] = four.z;
      words[4 * i + 3] = four.w;
    }
  }
  auto* const to = static_cast<unsigned char*>(product.packed_rows) +
                   (block * PaddedRows(product.num_rows) + group * 8) * kRowBytes;
#pragma unroll
  for (int piece = 0; piece < 8; ++piece) {  // of a half of a step
    *reinterpret_cast<uint4*>(to + piece * 128 + r * 16) =
        make_uint4(words[piece], words[8 + piece], words[16 + piece], words[24 + piece]);
  }
}

__device__ __forceinline__ void PackInput(const Product& product) {
  const int num_blocks = product.in_features / kBlockK;
  const int64_t units = PaddedRows(product.num_rows) / 8 * num_blocks;
  for (int64_t unit = int64_t{blockIdx.x} * kUnitsAtOnce + threadIdx.x / 8; unit < units;
       unit += int64_t{gridDim.x} * kUnitsAtOnce) {
    PackBlock(product, unit / num_blocks, static_cast<int>(unit % num_blocks));
  }
}

__global__ void __launch_bounds__(kThreads)
    PackInputsKernel(const __grid_constant__ ProductList products) {
  LetNextStart();
  AwaitPrevious();
  PackInput(products.product[blockIdx.y]);
}

__global__ void __launch_bounds__(kThreads) PackRoutedInputsKernel(const Product* products) {
  LetNextStart();
  AwaitPrevious();
  const Product product = products[blockIdx.y];
  if (product.num_rows > 0) PackInput(product);
}

LaunchShape Shape(int64_t max_rows, int64_t in_features, int count) {
  constexpr int64_t kMaxBlocks = 2048;
  const int64_t units = PaddedRows(max_rows) / 8 * (in_features / kBlockK);
  const int64_t blocks = DivideUp(units, kUnitsAtOnce);
  LaunchShape shape = Blocks(blocks < kMaxBlocks ? blocks : kMaxBlocks, kThreads);
  shape.grid.y = static_cast<unsigned>(count);
  return shape;
}

}  // namespace

void PackInputs(Context& context, const ProductList& list, int count) {
  int64_t max_rows = 0, max_features = 0;
  for (int i = 0; i < count; ++i) {
    const Product& product = list.product[i];
    max_rows = product.num_rows > max_rows ? product.num_rows : max_rows;
    max_features = product.in_features > max_features ? product.in_features : max_features;
  }
  Launch(context, "packing rows", Shape(max_rows, max_features, count), &PackInputsKernel, list);
}

void PackRoutedInputs(Context& context, const RoutedProducts& products) {
  Launch(context, "packing routed rows",
         Shape(products.max_rows, products.in_features, products.max_many), &PackRoutedInputsKernel,
         products.many);
}

}  // namespace tramontane::cuda
