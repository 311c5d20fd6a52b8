#include "kernels/cuda/products.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cuda/packed_tiles.h"
#include "kernels/cuda/warpgroup_rows.h"

namespace tramontane::cuda {
namespace {

// Up to so many rows the weights' bytes are what takes time: each warp multiplies as they come.
constexpr std::array<int, 3> kFewRows = {8, 16, 32};
// Up to so many are still best cut into products of few: their blocks read the same weights at the
// same time, once from memory.
constexpr int64_t kSlicedRows = 64;
// Of so few outputs, as the router's, many more: slices are all that can be done side by side.
constexpr int32_t kNarrowTiles = 4;
constexpr int64_t kSlicedRowsIfNarrow = 4096;

// The class of kernels for a number of rows, of which up to `most_few` are few: 0 to 2 are
// kFewRows, 3 is many.
size_t ClassOf(int64_t num_rows, int64_t most_few) {
  for (size_t c = 0; c < kFewRows.size() && num_rows <= most_few; ++c) {
    if (num_rows <= kFewRows[c]) return c;
  }
  return kFewRows.size();
}

bool HasWarpgroups(const Context& context) {
  return context.warpgroups && context.compute_dtype != DType::kF32;
}

// Warpgroups read weights as fast for 64 rows as others for 8, where there are enough outputs for
// all multiprocessors; where there are not, others that cut along k reach more of them.
int64_t MostFew(const Context& context, std::span<const Product> products) {
  if (!HasWarpgroups(context)) return kFewRows.back();
  int64_t groups = 0;
  for (const Product& product : products) {
    if (product.num_rows > kFewRows.front()) groups += PaddedTiles(product.num_tiles) / kGroupTiles;
  }
  return groups >= context.num_multiprocessors ? kFewRows.front() : kFewRows.back();
}

// Some rows of a product.
Product Slice(const Context& context, const Product& product, Epilogue epilogue, int64_t first,
              int64_t count) {
  const auto element_bytes = static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const bool in_float = epilogue == Epilogue::kStoreFloat || epilogue == Epilogue::kAddFloat;
  const int64_t output_bytes = in_float ? int64_t{sizeof(float)} : element_bytes;
  Product slice = product;
  slice.input =
      static_cast<const std::byte*>(product.input) + first * product.in_features * element_bytes;
  if (product.output_rows != nullptr) {
    slice.output_rows += first;
  } else {
    slice.output =
        static_cast<std::byte*>(product.output) + first * product.output_stride * output_bytes;
  }
  slice.num_rows = static_cast<int32_t>(count);
  return slice;
}

// The products, and those that are to be cut as slices.
std::vector<Product> Cut(const Context& context, std::span<const Product> products,
                         Epilogue epilogue, int64_t most_few) {
  std::vector<Product> cut;
  for (const Product& product : products) {
    const bool narrow = product.num_tiles <= kNarrowTiles;
    const int64_t most_rows = narrow                        ? kSlicedRowsIfNarrow
                              : most_few == kFewRows.back() ? kSlicedRows
                                                            : 0;
    const bool whole = context.compute_dtype == DType::kF32 ||
                       product.num_rows <= kFewRows.back() || product.num_rows > most_rows;
    // What is packed at once has a bound.
    const int64_t all_rows = HasWarpgroups(context)
                                 ? std::max<int64_t>(context.max_rows, kFewRows.back())
                                 : product.num_rows;
    const int64_t rows = whole ? std::min<int64_t>(all_rows, product.num_rows) : kFewRows.back();
    for (int64_t first = 0; first < product.num_rows; first += rows) {
      cut.push_back(Slice(context, product, epilogue, first,
                          std::min<int64_t>(rows, product.num_rows - first)));
    }
  }
  return cut;
}

void RunClass(Context& context, size_t row_class, ProductList& list, int count, Epilogue epilogue) {
  if (count == 0) return;
  if (context.compute_dtype == DType::kF32) {
    RunFloatRows(context, list, count, epilogue);
  } else if (row_class < kFewRows.size()) {
    RunFewRows(context, list, count, kFewRows[row_class], epilogue);
  } else if (context.warpgroups) {
    RunWarpgroupRows(context, list, count, epilogue);
  } else {
    RunManyRows(context, list, count, epilogue);
  }
}

}  // namespace

int MostFewRows(const Context& context, int64_t num_rows) {
  if (HasWarpgroups(context) && num_rows > kFewRows.front()) return 0;
  const auto most = static_cast<int64_t>(kFewRows.back());
  return kFewRows[ClassOf(std::min(num_rows, most), most)];
}

void RunProducts(Context& context, std::span<const Product> products, Epilogue epilogue) {
  if (HasWarpgroups(context)) {
    // Be there few rows or many: nothing is allocated later.
    int64_t max_features = 0;
    for (const Product& product : products) {
      max_features = std::max<int64_t>(max_features, product.in_features);
    }
    ReservePackedRows(context, context.max_rows, kMaxProducts, max_features);
  }
  const int64_t most_few = MostFew(context, products);
  const std::vector<Product> cut = Cut(context, products, epilogue, most_few);
  // Of one launch.
  const int64_t max_rows = std::max<int64_t>(context.max_rows, kFewRows.back());
  for (size_t row_class = 0; row_class <= kFewRows.size(); ++row_class) {
    ProductList list;
    int count = 0;
    int64_t num_rows = 0;
    for (const Product& product : cut) {
      if (ClassOf(product.num_rows, most_few) != row_class) continue;
      if (count == kMaxProducts || num_rows + product.num_rows > max_rows) {
        RunClass(context, row_class, list, count, epilogue);
        count = 0;
        num_rows = 0;
      }
      list.product[count++] = product;
      num_rows += product.num_rows;
    }
    RunClass(context, row_class, list, count, epilogue);
  }
}

void RunRoutedProducts(Context& context, const RoutedProducts& products, Epilogue epilogue) {
  if (context.compute_dtype == DType::kF32) {
    RunRoutedFloatRows(context, products, epilogue);
    return;
  }
  if (products.max_few > 0) RunRoutedFewRows(context, products, epilogue);
  if (products.max_many == 0) return;
  if (context.warpgroups) {
    RunRoutedWarpgroupRows(context, products, epilogue);
  } else {
    RunRoutedManyRows(context, products, epilogue);
  }
}

}  // namespace tramontane::cuda
