#include "proto/serving/abseil_flag_types.h"

#include "coordinator/grpc/api_port.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "proto/serving/host_port.h"
#include "proto/serving/tls_flags.h"
#include "proto/serving/tls_server.h"

ABSL_FLAG(std::string, api_tls_cert, "",
          "PEM file of the certificate that API clients see; empty: --tls_cert.");
ABSL_FLAG(std::string, api_tls_key, "", "PEM file of the private key of --api_tls_cert.");
ABSL_FLAG(std::string, api_client_ca, "",
          "PEM file of CAs, one of which must have signed the certificate of an API client; empty: "
          "clients need none.");
ABSL_FLAG(
    bool, api_plaintext, false,
    "Serve the API without TLS though there are --tls flags, for a proxy on this machine that "
    "ends TLS itself.");

ABSL_FLAG(std::string, api_tokens_file, "",
          "File of the bearer tokens that API clients need, and their limits; read again when it "
          "changes. docs/security.md describes it. Empty: everybody may call.");

namespace tramontane {
namespace {

absl::StatusOr<CertificateFiles> ApiFiles() {
  const CertificateFiles own = TlsFlags();
  CertificateFiles files = {.certificate = absl::GetFlag(FLAGS_api_tls_cert),
                            .key = absl::GetFlag(FLAGS_api_tls_key),
                            .ca = absl::GetFlag(FLAGS_api_client_ca)};
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError("expected both --api_tls_cert and --api_tls_key, or neither");
  }
  if (absl::GetFlag(FLAGS_api_plaintext)) {
    if (files.certificate.empty() && files.ca.empty()) return files;
    return absl::InvalidArgumentError(
        "expected none of --api_tls_cert, --api_tls_key and --api_client_ca beside "
        "--api_plaintext");
  }
  if (files.certificate.empty()) {
    files.certificate = own.certificate;
    files.key = own.key;
  }
  if (files.certificate.empty() && !files.ca.empty()) {
    return absl::InvalidArgumentError(
        "--api_client_ca: expected --api_tls_cert or --tls_cert beside it");
  }
  return files;
}

}  // namespace

absl::StatusOr<ApiPort> ApiPortFromFlags(absl::string_view listen, bool allow_plaintext) {
  const absl::StatusOr<CertificateFiles> files = ApiFiles();
  if (!files.ok()) return files.status();
  ApiPort port;
  const std::string tokens = absl::GetFlag(FLAGS_api_tokens_file);
  if (!tokens.empty()) {
    absl::StatusOr<std::shared_ptr<ApiAccess>> access = ApiAccess::Load(tokens);
    if (!access.ok()) return access.status();
    port.access = *std::move(access);
  }
  if (files->empty()) {
    const absl::Status plaintext = CheckPlaintextAddress(listen, "listen", allow_plaintext);
    if (!plaintext.ok()) return plaintext;
    return port;
  }
  absl::StatusOr<std::shared_ptr<TlsIdentity>> identity = TlsIdentity::Load(*files, absl::Now());
  if (!identity.ok()) return identity.status();
  port.identity = *std::move(identity);
  port.require_client_certificate = !files->ca.empty();
  return port;
}

ListenerOptions ApiListenerOptions(const ApiPort& port, int max_request_bytes) {
  constexpr size_t kOfSmallCalls = size_t{64} << 20, kLargeRequests = 8;
  ListenerOptions listener;
  listener.max_message_bytes = max_request_bytes;
  listener.max_memory_bytes =
      kOfSmallCalls + kLargeRequests * static_cast<size_t>(max_request_bytes);
  if (port.identity == nullptr) return listener;
  TlsServerOptions options;
  options.identity = port.identity;
  options.require_client_certificate = port.require_client_certificate;
  listener.credentials = CreateTlsServerCredentials(std::move(options));
  return listener;
}

}  // namespace tramontane
