// absl::Status <-> grpc::Status.
#ifndef TRAMONTANE_PROTO_WIRE_STATUS_H_
#define TRAMONTANE_PROTO_WIRE_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tramontane {

// Both have the codes of google.rpc.Code; a code that is not one of them becomes UNKNOWN.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_STATUS_H_
