// What guards the port of a worker.
#ifndef TRAMONTANE_PROTO_SERVING_WORKER_PORT_H_
#define TRAMONTANE_PROTO_SERVING_WORKER_PORT_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/serving/peer_names.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

struct WorkerPort {
  std::shared_ptr<TlsIdentity> identity;  // null: plaintext
  PeerNames allowed_peers;                // --allowed_peers
};

// Checks `listen`, the value of --listen, too: without TLS, an address beyond loopback needs leave,
// `allow_plaintext`. Fails as TlsIdentityFromFlags, PeerNames::Parse and CheckPlaintextAddress.
absl::StatusOr<WorkerPort> WorkerPortFromFlags(absl::string_view listen, bool allow_plaintext);

// Null: plaintext; else mutual TLS, with refusals counted. `metrics` outlives the server.
std::shared_ptr<grpc::ServerCredentials> WorkerPortCredentials(const WorkerPort& port,
                                                               SecurityMetrics* metrics);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_WORKER_PORT_H_
