// When a refused request is worth another attempt: part of its status.
#ifndef TRAMONTANE_COORDINATOR_RETRY_HINT_H_
#define TRAMONTANE_COORDINATOR_RETRY_HINT_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tramontane {

// `status` (not OK) with the hint.
absl::Status WithRetryAfter(absl::Status status, absl::Duration retry_after);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_RETRY_HINT_H_
