// Rows times packed weights, for several matrices at once.
#ifndef TRAMONTANE_KERNELS_CUDA_PRODUCTS_H_
#define TRAMONTANE_KERNELS_CUDA_PRODUCTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/context.h"

namespace tramontane::cuda {

// What is done with a finished sum.
enum class Epilogue {
  kStoreFloat,  // output [num_rows, output_stride] float32
  kAddFloat,    // added once to the same
  kStore,       // rounded to the compute dtype
  kSwiGlu,      // silu(gate) * up of interleaved rows, rounded: half as many columns
};

// Rows of one matrix. Rows and weights are padded with zeros to whole blocks of kBlockK in bf16; in
// float32 they are not.
struct Product {
  const void* weight =
      nullptr;                  // packed (bf16: packed_tiles.h; f32: [num_tiles * 16, in_features])
  const void* input = nullptr;  // [num_rows, in_features] of the compute dtype, 16-byte aligned
  void* output = nullptr;
  const int32_t* output_rows = nullptr;  // [num_rows] rows of the output; null: in order
  int64_t output_stride = 0;             // elements
  void* packed_rows = nullptr;           // the input once more, for warpgroups (warpgroup_rows.h)
  int32_t num_rows = 0;
  int32_t num_tiles = 0;    // of 16 output features
  int32_t in_features = 0;  // bf16: a multiple of kBlockK
  int32_t num_columns = 0;  // of the output that are written
};

// Chooses kernels by the number of rows; no bit depends on the choice.
void RunProducts(Context& context, std::span<const Product> products, Epilogue epilogue);

// Of experts' rows, when one gets up to `num_rows`: so many, of a class of kernels for few rows (8,
// 16 or 32), go there, and more go to those for many. 0: all go to those for many.
int MostFewRows(const Context& context, int64_t num_rows);

// Products that the device makes out of a routing (route_rows.h), of matrices of one shape: the
// lists lie on the device, those with rows first, then those of none.
struct RoutedProducts {
  const Product* few = nullptr;   // [max_few], of at most `few_rows` rows
  const Product* many = nullptr;  // [max_many], of any number of rows
  int max_few = 0;
  int max_many = 0;
  int few_rows = 0;             // as of MostFewRows
  int64_t max_rows = 0;         // of all together
  int64_t max_rows_of_one = 0;  // of one product
  int num_tiles = 0;            // of each
  int64_t in_features = 0;
};

// For kStore and kSwiGlu. In float32 `few` is not looked at.
void RunRoutedProducts(Context& context, const RoutedProducts& products, Epilogue epilogue);

// How many products one launch takes: as a kernel's parameter they must fit in 4 KiB.
inline constexpr int kMaxProducts = 60;
struct ProductList {
  Product product[kMaxProducts];
  int64_t count = 0;
};

// The kernels of RunProducts. All products of a list have at least one row; the first two have at
// most `max_rows` of 8, 16 or 32 rows, in bf16.
void RunFewRows(Context& context, const ProductList& list, int count, int max_rows,
                Epilogue epilogue);
void RunManyRows(Context& context, const ProductList& list, int count, Epilogue epilogue);
void RunFloatRows(Context& context, const ProductList& list, int count, Epilogue epilogue);

// Those of RunRoutedProducts: for the first list; for the second; for the second in float32.
void RunRoutedFewRows(Context& context, const RoutedProducts& products, Epilogue epilogue);
void RunRoutedManyRows(Context& context, const RoutedProducts& products, Epilogue epilogue);
void RunRoutedFloatRows(Context& context, const RoutedProducts& products, Epilogue epilogue);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_PRODUCTS_H_
