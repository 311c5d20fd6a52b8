// From a routing in the device's memory to products.
#ifndef TRAMONTANE_KERNELS_CUDA_ROUTE_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_ROUTE_ROWS_H_

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {

// As a kernel's parameter their weights must fit in 4 KiB: reading them from staged memory would
// take longer than all else that the kernel does.
inline constexpr int kMaxRoutedExperts = 128;

// One matrix of every expert, all of one shape.
struct ExpertProducts {
  const void* weight[kMaxRoutedExperts] = {};  // [num_experts]
  // Of no expert and no rows yet: input and output are those of all experts together.
  Product all;
  // [num_experts] on the device, written: of experts with 1 to few_rows rows, and with more; those
  // with rows first, in the order of the experts, then the others without rows.
  Product* few = nullptr;
  Product* many = nullptr;
};

// Pair p is rank p % top_k of token p / top_k. Rows are pairs in the order of their experts, of one
// expert in the order of pairs.
struct RouteRowsArgs {
  const int32_t* topk_expert_ids = nullptr;  // [num_pairs] on the device
  int32_t* pair_of_row = nullptr;            // [num_pairs] on the device, written
  ExpertProducts up, down;
  int32_t num_pairs = 0;
  int32_t num_experts = 0;
  int32_t few_rows = 0;  // 0: `many` has all
  int32_t element_bytes = 0;
};
void RouteRows(Context& context, const RouteRowsArgs& args);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_ROUTE_ROWS_H_
