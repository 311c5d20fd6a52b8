#include "proto/serving/abseil_flag_types.h"

#include "coordinator/generate/client_flags.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "proto/serving/tls_identity.h"

ABSL_FLAG(bool, tls, false,
          "Connect with TLS; without --tls_ca the server's certificate must be of a CA that the "
          "system knows. Any other --tls flag implies it.");
ABSL_FLAG(std::string, tls_ca, "", "PEM file of the CAs that sign the server's certificate.");
ABSL_FLAG(std::string, tls_cert, "",
          "PEM file of the certificate to show to a server that asks for one.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the private key of --tls_cert.");
ABSL_FLAG(std::string, tls_server_name, "",
          "Name that the server's certificate must have; empty: the host of --target.");

namespace tramontane {

absl::StatusOr<TlsClient> TlsClientFromFlags() {
  const CertificateFiles files = {.certificate = absl::GetFlag(FLAGS_tls_cert),
                                  .key = absl::GetFlag(FLAGS_tls_key),
                                  .ca = absl::GetFlag(FLAGS_tls_ca)};
  TlsClient client;
  client.server_name = absl::GetFlag(FLAGS_tls_server_name);
  const bool wanted = absl::GetFlag(FLAGS_tls) || !files.empty() || !files.key.empty() ||
                      !client.server_name.empty();
  if (!wanted) return client;
  absl::StatusOr<std::shared_ptr<TlsIdentity>> identity = TlsIdentity::Load(files, absl::Now());
  if (!identity.ok()) return identity.status();
  client.identity = *std::move(identity);
  return client;
}

}  // namespace tramontane
