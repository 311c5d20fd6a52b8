#include "kernels/arg_max.h"

#include <algorithm>
#include <cstddef>

#include "kernels/backend.h"
#include "kernels/finite_rows.h"

namespace tramontane {

void Backend::ArgMax(const ArgMaxArgs& args) {
  for (int64_t r = 0; r < args.num_rows; ++r) {
    const float* const row = args.rows + r * args.num_columns;
    const bool finite =
        RowIsFinite(reinterpret_cast<const std::byte*>(row), args.num_columns, DType::kF32);
    args.ids[r] =
        finite ? static_cast<int32_t>(std::max_element(row, row + args.num_columns) - row) : -1;
  }
}

}  // namespace tramontane
