#include "tests/integration/cluster_certificates.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

void ClusterCertificates::Issue(const CertificateAuthority& ca, absl::Time not_after) {
  for (const char* kind : {"coordinator", "attention", "expert", "client"}) {
    ca.Write(
        directory_.path(), kind,
        {.names = absl::StrCat("DNS:", kind, ".tramontane,IP:127.0.0.1"), .not_after = not_after});
  }
}

std::vector<std::string> ClusterCertificates::Flags(const std::string& kind) const {
  const std::string stem = absl::StrCat(directory_.path(), "/", kind);
  return {absl::StrCat("--tls_cert=", stem, ".pem"), absl::StrCat("--tls_key=", stem, ".key"),
          absl::StrCat("--tls_ca=", stem, ".ca.pem")};
}

TlsClient ClusterCertificates::Client(const std::string& kind) const {
  CertificateFiles files;
  const std::string stem = absl::StrCat(directory_.path(), "/", kind.empty() ? "client" : kind);
  if (!kind.empty()) {
    files.certificate = absl::StrCat(stem, ".pem");
    files.key = absl::StrCat(stem, ".key");
  }
  files.ca = absl::StrCat(stem, ".ca.pem");
  TlsClient client;
  client.identity = *TlsIdentity::Load(files, absl::Now());
  return client;
}

}  // namespace tramontane
