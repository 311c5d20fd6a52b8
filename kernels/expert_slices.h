// An expert feed-forward of more rows than a backend holds at once.
#ifndef TRAMONTANE_KERNELS_EXPERT_SLICES_H_
#define TRAMONTANE_KERNELS_EXPERT_SLICES_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "kernels/expert_ffn.h"
#include "model/dtype.h"

namespace tramontane {

// Calls `run` with parts of `args`, whose rows are of `dtype`, one after the other: at most
// `max_rows` rows each, and none without a row. Groups of experts are cut anywhere.
void RunInSlices(const ExpertFfnArgs& args, size_t max_rows, DType dtype,
                 absl::FunctionRef<void(const ExpertFfnArgs&)> run);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_EXPERT_SLICES_H_
