// From a routing in the device's memory to products.
#ifndef TRAMONTANE_KERNELS_CUDA_ROUTE_ROWS_H_
#define TRAMONTANE_KERNELS_CUDA_ROUTE_ROWS_H_

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {

// One matrix of every expert.
struct ExpertProducts {
  // [num_experts] where kernels read: products of no rows yet, whose input and output are those of
  // all experts together.
  const Product* of_expert = nullptr;
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
