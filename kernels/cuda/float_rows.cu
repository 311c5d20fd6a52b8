// Products in float32, for the exact mode: one sum for each output, in the order of k.
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/packed_tiles.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/routed_block.cuh"
#include "kernels/cuda/store_pair.cuh"

namespace tramontane::cuda {
namespace {

constexpr int kSide = kTileRows;  // rows, outputs and k of what shared memory holds at a time

// A block of threads makes one tile of outputs for 16 rows, a thread each.
template <Epilogue kEpilogue>
__device__ __forceinline__ void MultiplyTile(const Product& product, int first_row, int tile) {
  __shared__ float weights[kSide][kSide + 1];
  __shared__ float rows[kSide][kSide + 1];
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const auto* weight = static_cast<const float*>(product.weight) +
                       static_cast<int64_t>(tile * kSide + y) * product.in_features;
  const auto* input = static_cast<const float*>(product.input) +
                      static_cast<int64_t>(first_row + y) * product.in_features;
  const bool has_row = first_row + y < product.num_rows;
  float sum = 0;
  for (int k = 0; k < product.in_features; k += kSide) {
    const bool has_k = k + x < product.in_features;
    weights[y][x] = has_k ? weight[k + x] : 0.0f;
    rows[y][x] = has_k && has_row ? input[k + x] : 0.0f;
    __syncthreads();
    const int count = product.in_features - k < kSide ? product.in_features - k : kSide;
    for (int i = 0; i < count; ++i) sum = fmaf(rows[y][i], weights[x][i], sum);
    __syncthreads();
  }
  weights[y][x] = sum;  // [row][output]
  __syncthreads();
  if (x < 8 && has_row) {
    StorePair<kEpilogue, FloatOutput>(product, tile, x, first_row + y, weights[y][x],
                                      weights[y][x + 8]);
  }
}

template <Epilogue kEpilogue>
__global__ void __launch_bounds__(kSide* kSide)
    FloatRowsKernel(const __grid_constant__ ProductList products) {
  LetNextStart();
  AwaitPrevious();
  const Product& product = products.product[blockIdx.z];
  const int first_row = static_cast<int>(blockIdx.x) * kSide;
  const int tile = static_cast<int>(blockIdx.y);
  if (first_row >= product.num_rows || tile >= product.num_tiles) return;
  MultiplyTile<kEpilogue>(product, first_row, tile);
}

template <Epilogue kEpilogue>
__global__ void __launch_bounds__(kSide* kSide)
    RoutedFloatRowsKernel(const Product* products, int max_products) {
  LetNextStart();
  AwaitPrevious();
  const RoutedBlock block =
      FindBlock<kSide, 1>(products, max_products, static_cast<int>(blockIdx.x));
  if (block.product < 0) return;
  const Product product = products[block.product];
  MultiplyTile<kEpilogue>(product, block.first_row, block.first_tile);
}

}  // namespace

void RunFloatRows(Context& context, const ProductList& list, int count, Epilogue epilogue) {
  int max_rows = 0, max_tiles = 0;
  for (int i = 0; i < count; ++i) {
    max_rows = list.product[i].num_rows > max_rows ? list.product[i].num_rows : max_rows;
    max_tiles = list.product[i].num_tiles > max_tiles ? list.product[i].num_tiles : max_tiles;
  }
  LaunchShape shape;
  shape.grid = dim3(DivideUp(max_rows, kSide), static_cast<unsigned>(max_tiles),
                    static_cast<unsigned>(count));
  shape.block = dim3(kSide * kSide);
  WithEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
    Launch(context, "product in float32", shape, &FloatRowsKernel<kEpilogue>, list);
  });
}

void RunRoutedFloatRows(Context& context, const RoutedProducts& products, Epilogue epilogue) {
  const LaunchShape shape = Blocks(MaxBlocks<kSide, 1>(products), kSide * kSide);
  WithExpertEpilogue(epilogue, [&]<Epilogue kEpilogue>() {
    Launch(context, "product of routed rows in float32", shape, &RoutedFloatRowsKernel<kEpilogue>,
           products.many, products.max_many);
  });
}

}  // namespace tramontane::cuda
