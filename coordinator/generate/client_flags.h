// How a command-line client connects: --tls and what goes with it.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_
#define TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_

#include "absl/status/statusor.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

// FAILED_PRECONDITION or INVALID_ARGUMENT naming the file or the flag.
absl::StatusOr<TlsClient> TlsClientFromFlags();

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_
