// The likeliest token of each row of logits, without a copy of the row to the host.
#ifndef TRAMONTANE_KERNELS_ARG_MAX_H_
#define TRAMONTANE_KERNELS_ARG_MAX_H_

#include <cstdint>

namespace tramontane {

// ids[r] = the column of the greatest of row r, the lowest of equals; -1 where the row holds an
// infinity or a NaN.
struct ArgMaxArgs {
  const float* rows = nullptr;  // [num_rows, num_columns]
  int32_t* ids = nullptr;       // [num_rows], written
  int64_t num_rows = 0;
  int64_t num_columns = 0;  // at least 1
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ARG_MAX_H_
