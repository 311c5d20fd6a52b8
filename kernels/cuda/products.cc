#include "kernels/cuda/products.h"

#include <algorithm>
#include <array>

namespace tramontane::cuda {
namespace {

// Up to so many rows the weights' bytes are what takes time: each warp multiplies as they come.
constexpr std::array<int, 3> kFewRows = {8, 16, 32};

// The class of kernels for a number of rows: 0 to 2 are kFewRows, 3 is many.
size_t ClassOf(int64_t num_rows) {
  for (size_t c = 0; c < kFewRows.size(); ++c) {
    if (num_rows <= kFewRows[c]) return c;
  }
  return kFewRows.size();
}

void RunClass(Context& context, size_t row_class, const ProductList& list, int count,
              Epilogue epilogue) {
  if (count == 0) return;
  if (context.compute_dtype == DType::kF32) {
    RunFloatRows(context, list, count, epilogue);
  } else if (row_class < kFewRows.size()) {
    RunFewRows(context, list, count, kFewRows[row_class], epilogue);
  } else {
    RunManyRows(context, list, count, epilogue);
  }
}

}  // namespace

int FewRows(int64_t num_rows) { return kFewRows[std::min(ClassOf(num_rows), kFewRows.size() - 1)]; }

void RunProducts(Context& context, std::span<const Product> products, Epilogue epilogue) {
  for (size_t row_class = 0; row_class <= kFewRows.size(); ++row_class) {
    ProductList list;
    int count = 0;
    for (const Product& product : products) {
      if (product.num_rows == 0 || ClassOf(product.num_rows) != row_class) continue;
      list.product[count++] = product;
      if (count < kMaxProducts) continue;
      RunClass(context, row_class, list, count, epilogue);
      count = 0;
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
  if (products.max_many > 0) RunRoutedManyRows(context, products, epilogue);
}

}  // namespace tramontane::cuda
