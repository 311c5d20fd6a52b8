// Certificates for the processes of a test's system.
#ifndef TRAMONTANE_TESTS_INTEGRATION_CLUSTER_CERTIFICATES_H_
#define TRAMONTANE_TESTS_INTEGRATION_CLUSTER_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/serving/tls_client.h"
#include "tests/fakes/certificate_authority.h"
#include "tests/integration/server_process.h"

namespace tramontane {

// One certificate for each kind of process (coordinator, attention, expert, client), all of one CA,
// named KIND.tramontane, in a directory that goes with the object.
class ClusterCertificates {
 public:
  // Writes all of them, in the place of those that are there.
  void Issue(const CertificateAuthority& ca, absl::Time not_after);

  // --tls_cert, --tls_key and --tls_ca of a process.
  std::vector<std::string> Flags(const std::string& kind) const;
  // A client that shows the certificate of `kind`, "" for none, as it is now.
  TlsClient Client(const std::string& kind) const;
  const std::string& directory() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_CLUSTER_CERTIFICATES_H_
