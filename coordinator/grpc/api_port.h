// What guards the public port of the coordinator.
#ifndef TRAMONTANE_COORDINATOR_GRPC_API_PORT_H_
#define TRAMONTANE_COORDINATOR_GRPC_API_PORT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/grpc/api_access.h"
#include "proto/serving/listener.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

struct ApiPort {
  std::shared_ptr<TlsIdentity> identity;    // null: plaintext
  bool require_client_certificate = false;  // --api_client_ca
  std::shared_ptr<ApiAccess> access;        // --api_tokens_file; null: everybody may call
};

// By --api_tls_cert and --api_tls_key, else --tls_cert and --tls_key, unless --api_plaintext says
// otherwise. Checks `listen`, the value of --listen, too: without TLS, an address beyond loopback
// needs leave, `allow_plaintext`. Fails as TlsIdentity::Load, ApiAccess::Load and
// CheckPlaintextAddress, and with INVALID_ARGUMENT for flags that contradict each other.
absl::StatusOr<ApiPort> ApiPortFromFlags(absl::string_view listen, bool allow_plaintext);

// Credentials, none for plaintext, and limits. gRPC may hold requests that it is reading up to
// eight of the largest, and as much as thousands of usual ones take, all connections together.
ListenerOptions ApiListenerOptions(const ApiPort& port, int max_request_bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_API_PORT_H_
