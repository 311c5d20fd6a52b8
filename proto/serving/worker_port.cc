#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/worker_port.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "proto/serving/host_port.h"
#include "proto/serving/tls_flags.h"
#include "proto/serving/tls_server.h"

ABSL_FLAG(std::vector<std::string>, allowed_peers, {},
          "Names, one of which the certificate of a peer must have to be served: DNS names, *. and "
          "a DNS name, or URIs, separated by commas. Empty: any certificate that --tls_ca signed.");

namespace tramontane {

absl::StatusOr<WorkerPort> WorkerPortFromFlags(absl::string_view listen, bool allow_plaintext) {
  WorkerPort port;
  absl::StatusOr<PeerNames> allowed =
      PeerNames::Parse(absl::GetFlag(FLAGS_allowed_peers), "allowed_peers");
  if (!allowed.ok()) return allowed.status();
  port.allowed_peers = *std::move(allowed);
  absl::StatusOr<std::shared_ptr<TlsIdentity>> identity = TlsIdentityFromFlags(/*needs_ca=*/true);
  if (!identity.ok()) return identity.status();
  port.identity = *std::move(identity);
  if (port.identity != nullptr) return port;
  if (!port.allowed_peers.empty()) {
    return absl::InvalidArgumentError(
        "--allowed_peers: names are in certificates; expected --tls_cert, --tls_key and --tls_ca "
        "beside it");
  }
  const absl::Status plaintext = CheckPlaintextAddress(listen, "listen", allow_plaintext);
  if (!plaintext.ok()) return plaintext;
  return port;
}

std::shared_ptr<grpc::ServerCredentials> WorkerPortCredentials(const WorkerPort& port,
                                                               SecurityMetrics* metrics) {
  if (port.identity == nullptr) return nullptr;
  TlsServerOptions options;
  options.identity = port.identity;
  options.require_client_certificate = true;
  options.allowed_peers = port.allowed_peers;
  options.on_refused = [metrics](std::string_view message) {  // which has the peer's names
    metrics->CountFailure(AuthFailure::kPeerName, "", message);
  };
  return CreateTlsServerCredentials(std::move(options));
}

}  // namespace tramontane
