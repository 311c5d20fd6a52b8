#include "proto/serving/certificates.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/log.h"
#include "proto/serving/text_file.h"

namespace tramontane {
namespace {

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* pointer) const { Free(pointer); }
};
using X509Pointer = std::unique_ptr<X509, Freed<X509, X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using NamesPointer = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES, GENERAL_NAMES_free>>;
using BioPointer = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;

absl::Status BadFile(const char* what, const std::string& path, absl::string_view trouble) {
  return absl::FailedPreconditionError(absl::StrCat(what, " ", path, ": ", trouble));
}

absl::StatusOr<std::string> ReadPem(const char* what, const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path);
  if (text.ok()) return text;
  return absl::FailedPreconditionError(absl::StrCat(what, " ", text.status().message()));
}

BioPointer Open(const std::string& pem) {
  return BioPointer(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*unused*/) { return -1; }

// All certificates of a file, at least one.
absl::StatusOr<std::vector<X509Pointer>> ParseChain(const char* what, const std::string& path,
                                                    const std::string& pem) {
  const BioPointer bio = Open(pem);
  std::vector<X509Pointer> chain;
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, NoPassphrase, nullptr)) {
    chain.emplace_back(next);
  }
  // The end of the input is told as "no start line"; anything else is damage.
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (chain.empty()) return BadFile(what, path, "expected a PEM certificate, found none");
  if (!ended) {
    return BadFile(what, path, absl::StrCat("damaged after certificate ", chain.size()));
  }
  return chain;
}

absl::StatusOr<KeyPointer> ParseKey(const std::string& path, const std::string& pem) {
  KeyPointer key(PEM_read_bio_PrivateKey(Open(pem).get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (key == nullptr) {
    return BadFile("key", path, "expected a PEM private key without a passphrase, found none");
  }
  return key;
}

absl::Time FromAsn1(const ASN1_TIME* time) {
  tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string AddressText(const ASN1_OCTET_STRING& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.length == 4 ? AF_INET : AF_INET6, address.data, text, sizeof(text));
  return text;
}

std::vector<std::string> AlternativeNames(X509* certificate) {
  std::vector<std::string> found;
  const NamesPointer names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS || name->type == GEN_URI) {
      const ASN1_IA5STRING* const text = name->d.ia5;
      found.emplace_back(reinterpret_cast<const char*>(text->data),
                         static_cast<size_t>(text->length));
    } else if (name->type == GEN_IPADD && (name->d.ip->length == 4 || name->d.ip->length == 16)) {
      found.push_back(AddressText(*name->d.ip));
    }
  }
  return found;
}

absl::Status ReadOwn(const CertificateFiles& files, Certificates* result) {
  absl::StatusOr<std::string> certificate = ReadPem("certificate", files.certificate);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key_pem = ReadPem("key", files.key);
  if (!key_pem.ok()) return key_pem.status();
  const auto chain = ParseChain("certificate", files.certificate, *certificate);
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<KeyPointer> key = ParseKey(files.key, *key_pem);
  if (!key.ok()) return key.status();
  X509* const own = chain->front().get();
  const bool matches = X509_check_private_key(own, key->get()) == 1;
  ERR_clear_error();
  if (!matches) {
    return BadFile("key", files.key,
                   absl::StrCat("is not the key of the first certificate in ", files.certificate));
  }
  result->not_before = FromAsn1(X509_get0_notBefore(own));
  result->not_after = FromAsn1(X509_get0_notAfter(own));
  result->names = AlternativeNames(own);
  result->certificate_pem = *std::move(certificate);
  result->key_pem = *std::move(key_pem);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Certificates> ReadCertificates(const CertificateFiles& files) {
  if (files.certificate.empty() != files.key.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a certificate and its key, found only ",
                     files.key.empty() ? "certificate " : "key ",
                     files.key.empty() ? files.certificate : files.key));
  }
  Certificates result;
  if (!files.certificate.empty()) {
    const absl::Status own = ReadOwn(files, &result);
    if (!own.ok()) return own;
  }
  if (!files.ca.empty()) {
    absl::StatusOr<std::string> ca = ReadPem("CA", files.ca);
    if (!ca.ok()) return ca.status();
    const auto chain = ParseChain("CA", files.ca, *ca);
    if (!chain.ok()) return chain.status();
    result.ca_pem = *std::move(ca);
  }
  return result;
}

void WarnOfValidity(const CertificateFiles& files, const Certificates& certificates,
                    absl::Time now) {
  if (files.certificate.empty()) return;
  const char* trouble = nullptr;
  if (certificates.not_after <= now) trouble = "certificate has expired: peers refuse it";
  if (certificates.not_before > now) trouble = "certificate is not valid yet: peers refuse it";
  if (certificates.names.empty()) {
    trouble = "certificate has no subject alternative name: peers refuse it";
  }
  if (trouble == nullptr) return;
  Log(LogLevel::kWarning, trouble,
      {{"file", files.certificate},
       {"not_before", absl::FormatTime(certificates.not_before, absl::UTCTimeZone())},
       {"not_after", absl::FormatTime(certificates.not_after, absl::UTCTimeZone())},
       {"names", absl::StrJoin(certificates.names, ",")}});
}

}  // namespace tramontane
