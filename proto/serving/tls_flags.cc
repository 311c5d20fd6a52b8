#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/tls_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "absl/time/clock.h"

ABSL_FLAG(std::string, tls_cert, "",
          "PEM file of this process's certificate and the intermediate ones, shown to peers of "
          "either direction; read again when it changes. Empty: plaintext.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the private key of --tls_cert.");
ABSL_FLAG(
    std::string, tls_ca, "",
    "PEM file of the CAs that sign the certificates of the cluster's processes: workers serve "
    "nobody else, and nobody else's answers are taken.");

namespace tramontane {

CertificateFiles TlsFlags() {
  return {.certificate = absl::GetFlag(FLAGS_tls_cert),
          .key = absl::GetFlag(FLAGS_tls_key),
          .ca = absl::GetFlag(FLAGS_tls_ca)};
}

absl::StatusOr<std::shared_ptr<TlsIdentity>> TlsIdentityFromFlags(bool needs_ca) {
  const CertificateFiles files = TlsFlags();
  if (files.certificate.empty() && files.key.empty() && files.ca.empty()) {
    return std::shared_ptr<TlsIdentity>();
  }
  if (files.certificate.empty() || files.key.empty() || (needs_ca && files.ca.empty())) {
    return absl::InvalidArgumentError(
        needs_ca ? "expected all of --tls_cert, --tls_key and --tls_ca, or none of them"
                 : "expected both --tls_cert and --tls_key, or none of the --tls flags");
  }
  return TlsIdentity::Load(files, absl::Now());
}

}  // namespace tramontane
