// The retry hint as gRPC's clients understand it.
#ifndef TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_
#define TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_

#include <grpcpp/server_context.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "coordinator/retry_hint.h"

namespace tramontane {

// Before the call's end: what clients with a retry policy wait by. See the retry design,
// https://github.com/grpc/proposal/blob/master/A6-client-retries.md.
inline void AddRetryPushback(grpc::CallbackServerContext* context, absl::Duration retry_after) {
  context->AddTrailingMetadata("grpc-retry-pushback-ms",
                               absl::StrCat(absl::ToInt64Milliseconds(retry_after)));
}

// As `status` tells, or, for RESOURCE_EXHAUSTED that tells nothing, in a second.
inline void AddRetryPushback(grpc::CallbackServerContext* context, const absl::Status& status) {
  std::optional<absl::Duration> retry_after = RetryAfterOf(status);
  if (absl::IsResourceExhausted(status) && !retry_after.has_value()) retry_after = absl::Seconds(1);
  if (retry_after.has_value()) AddRetryPushback(context, *retry_after);
}

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_RETRY_PUSHBACK_H_
