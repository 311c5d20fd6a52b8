// Packs the rows of products as warpgroups read them (warpgroup_rows.h).
#ifndef TRAMONTANE_KERNELS_CUDA_PACK_INPUTS_H_
#define TRAMONTANE_KERNELS_CUDA_PACK_INPUTS_H_

#include "kernels/cuda/context.h"
#include "kernels/cuda/products.h"

namespace tramontane::cuda {

// Queues the packing of each product's input to its packed_rows. Of routed products, those of the
// second list.
void PackInputs(Context& context, const ProductList& list, int count);
void PackRoutedInputs(Context& context, const RoutedProducts& products);

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_PACK_INPUTS_H_
