// TLS on a listener.
#ifndef TRAMONTANE_PROTO_SERVING_TLS_SERVER_H_
#define TRAMONTANE_PROTO_SERVING_TLS_SERVER_H_

#include <grpcpp/security/server_credentials.h>

#include <functional>
#include <memory>
#include <string_view>

#include "proto/serving/peer_names.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

struct TlsServerOptions {
  std::shared_ptr<const TlsIdentity> identity;  // with a certificate
  // Peers need a certificate that the identity's CA has signed (the TLS handshake fails else), and
  // one of the names; `identity` has a CA then.
  bool require_client_certificate = false;
  PeerNames allowed_peers;
  // For each call that a peer of another name makes. From any thread; it must not block.
  std::function<void(std::string_view message)> on_refused = [](std::string_view) {};
};

// Takes what the identity has at that moment for each new connection. Each call of a peer that is
// not allowed ends with PERMISSION_DENIED before a handler sees it, calls of the standard health
// service apart.
std::shared_ptr<grpc::ServerCredentials> CreateTlsServerCredentials(TlsServerOptions options);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TLS_SERVER_H_
