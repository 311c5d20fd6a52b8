// Certificates for tests, made while they run: no key is ever kept.
#ifndef TRAMONTANE_TESTS_FAKES_CERTIFICATE_AUTHORITY_H_
#define TRAMONTANE_TESTS_FAKES_CERTIFICATE_AUTHORITY_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/serving/certificates.h"

namespace tramontane {

struct CertificateRequest {
  std::string names;  // as openssl.cnf takes them: "DNS:worker.tramontane,IP:127.0.0.1"
  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(24);
};

struct IssuedCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// A CA of its own, with a fresh P-256 key.
class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);

  const std::string& pem() const { return pem_; }
  IssuedCertificate Issue(const CertificateRequest& request) const;
  // Issues, and writes NAME.pem, NAME.key and NAME.ca.pem (this CA) into `directory`, each
  // in one moment.
  CertificateFiles Write(const std::string& directory, const std::string& name,
                         const CertificateRequest& request) const;

 private:
  struct Freed {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Freed>;
  using Certificate = std::unique_ptr<X509, Freed>;

  // Signed by this CA, or by itself where this CA is being made.
  Certificate Sign(const std::string& name, EVP_PKEY* subject, const CertificateRequest& request,
                   bool is_ca) const;

  const std::string name_;
  Key key_;
  Certificate certificate_;
  std::string pem_;
};

// Writes a temporary file beside `path` and renames it.
void ReplaceFile(const std::string& path, const std::string& text);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_CERTIFICATE_AUTHORITY_H_
