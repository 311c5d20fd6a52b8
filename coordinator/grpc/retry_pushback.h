// The retry hint as gRPC's clients understand it.
#ifndef TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_
#define TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_

#include <grpcpp/server_context.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tramontane {

// Before the call's end: what clients with a retry policy wait by. See the retry design,
// https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
inline void AddRetryPushback(grpc::CallbackServerContext* context, absl::Duration retry_after) {
  context->AddTrailingMetadata("grpc-retry-pushback-ms",
                               absl::StrCat(absl::ToInt64Milliseconds(retry_after)));
}

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_
