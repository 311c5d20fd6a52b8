// How a command-line client connects: --tls and what goes with it.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_
#define TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

struct ApiClient {
  TlsClient tls;
  std::string token;  // --api_token_file; "" for none
};

// FAILED_PRECONDITION or INVALID_ARGUMENT naming the file or the flag. A token is not sent to
// `target` (HOST:PORT or unix:PATH) in plaintext unless that stays on this machine, or
// --allow_plaintext_beyond_loopback is given.
absl::StatusOr<ApiClient> ApiClientFromFlags(const std::string& target);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_CLIENT_FLAGS_H_
