// Certificates, keys and CAs in PEM files, checked before they are used.
#ifndef TRAMONTANE_PROTO_SERVING_CERTIFICATES_H_
#define TRAMONTANE_PROTO_SERVING_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tramontane {

// Paths; "" where there is none.
struct CertificateFiles {
  std::string certificate;  // this process's own, then the intermediate ones
  std::string key;          // its private key, not encrypted; given exactly where certificate is
  std::string ca;           // those that peers' certificates are signed by, one or more

  bool empty() const { return certificate.empty() && ca.empty(); }
};

struct Certificates {
  std::string certificate_pem;
  std::string key_pem;
  std::string ca_pem;
  // Of the first certificate in the file; without one, for ever.
  absl::Time not_before = absl::InfinitePast();
  absl::Time not_after = absl::InfiniteFuture();
  std::vector<std::string> names;  // its subject alternative names: DNS names, URIs, IP addresses
};

// FAILED_PRECONDITION, naming the file and what is wrong with it: missing, unreadable, not PEM, a
// key of another certificate. INVALID_ARGUMENT where only one of certificate and key is named. An
// expired certificate is OK: see WarnOfValidity.
absl::StatusOr<Certificates> ReadCertificates(const CertificateFiles& files);

// Logs a warning where the certificate has expired by `now`, is not valid yet, or names nobody.
void WarnOfValidity(const CertificateFiles& files, const Certificates& certificates,
                    absl::Time now);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_CERTIFICATES_H_
