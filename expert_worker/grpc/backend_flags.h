// The flags of every process that computes: on what, in which format.
#ifndef TRAMONTANE_EXPERT_WORKER_GRPC_BACKEND_FLAGS_H_
#define TRAMONTANE_EXPERT_WORKER_GRPC_BACKEND_FLAGS_H_

#include "proto/serving/abseil_flag_types.h"

#include <string>

#include "absl/flags/declare.h"
#include "absl/status/statusor.h"
#include "kernels/create_backend.h"

ABSL_DECLARE_FLAG(std::string, compute);

namespace tramontane {

// What they ask for. INVALID_ARGUMENT naming the flag that is out of range.
absl::StatusOr<BackendOptions> BackendFlags();

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_GRPC_BACKEND_FLAGS_H_
