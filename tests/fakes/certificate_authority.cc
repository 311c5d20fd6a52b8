#include "tests/fakes/certificate_authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "model/check.h"

namespace tramontane {
namespace {

template <typename Write>
std::string ToPem(Write write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  TRAMONTANE_CHECK(write(bio) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string CertificatePem(X509* certificate) {
  return ToPem([certificate](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  TRAMONTANE_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

long NextSerial() {
  static std::atomic<long> serial{1};
  return serial++;
}

}  // namespace

CertificateAuthority::CertificateAuthority(const std::string& name)
    : name_(name), key_(EVP_EC_gen("P-256")) {
  TRAMONTANE_CHECK(key_ != nullptr);
  certificate_ = Sign(name, key_.get(), CertificateRequest(), /*is_ca=*/true);
  pem_ = CertificatePem(certificate_.get());
}

CertificateAuthority::Certificate CertificateAuthority::Sign(const std::string& name,
                                                             EVP_PKEY* subject,
                                                             const CertificateRequest& request,
                                                             bool is_ca) const {
  Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);  // version 3
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), NextSerial());
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(request.not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(request.not_after));
  X509_set_pubkey(certificate.get(), subject);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509* const issuer = is_ca ? certificate.get() : certificate_.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  AddExtension(certificate.get(), issuer, NID_basic_constraints,
               is_ca ? "critical,CA:TRUE" : "CA:FALSE");
  if (!request.names.empty()) {
    AddExtension(certificate.get(), issuer, NID_subject_alt_name, request.names);
  }
  TRAMONTANE_CHECK(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
  return certificate;
}

IssuedCertificate CertificateAuthority::Issue(const CertificateRequest& request) const {
  const Key key(EVP_EC_gen("P-256"));
  TRAMONTANE_CHECK(key != nullptr);
  IssuedCertificate issued;
  issued.certificate_pem =
      CertificatePem(Sign(absl::StrCat(name_, " issued"), key.get(), request, false).get());
  issued.key_pem = ToPem([&key](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return issued;
}

CertificateFiles CertificateAuthority::Write(const std::string& directory, const std::string& name,
                                             const CertificateRequest& request) const {
  const CertificateFiles files = {.certificate = absl::StrCat(directory, "/", name, ".pem"),
                                  .key = absl::StrCat(directory, "/", name, ".key"),
                                  .ca = absl::StrCat(directory, "/", name, ".ca.pem")};
  const IssuedCertificate issued = Issue(request);
  ReplaceFile(files.certificate, issued.certificate_pem);
  ReplaceFile(files.key, issued.key_pem);
  ReplaceFile(files.ca, pem_);
  return files;
}

void ReplaceFile(const std::string& path, const std::string& text) {
  const std::string temporary = absl::StrCat(path, ".new");
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  TRAMONTANE_CHECK(file.good());
  TRAMONTANE_CHECK(std::rename(temporary.c_str(), path.c_str()) == 0);
}

}  // namespace tramontane
