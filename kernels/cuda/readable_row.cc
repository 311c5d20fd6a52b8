#include <cstring>

#include "kernels/cuda/memory.h"
#include "kernels/cuda/move_rows.h"

namespace tramontane::cuda {

const std::byte* ReadableRow(Context& context, const std::byte* row, int64_t num_bytes) {
  if (IsKernelMemory(row)) return row;
  std::byte* const staged = context.Stage(num_bytes);
  std::memcpy(staged, row, static_cast<size_t>(num_bytes));
  return staged;
}

}  // namespace tramontane::cuda
