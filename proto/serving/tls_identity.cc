#include "proto/serving/tls_identity.h"

#include "absl/strings/str_join.h"
#include "model/log.h"

namespace tramontane {
namespace {

bool Same(const Certificates& a, const Certificates& b) {
  return a.certificate_pem == b.certificate_pem && a.key_pem == b.key_pem && a.ca_pem == b.ca_pem;
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsIdentity>> TlsIdentity::Load(const CertificateFiles& files,
                                                               absl::Time now) {
  absl::StatusOr<Certificates> certificates = ReadCertificates(files);
  if (!certificates.ok()) return certificates.status();
  WarnOfValidity(files, *certificates, now);
  return std::shared_ptr<TlsIdentity>(new TlsIdentity(files, *std::move(certificates)));
}

std::shared_ptr<const Certificates> TlsIdentity::current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

absl::Status TlsIdentity::Refresh(absl::Time now) {
  absl::StatusOr<Certificates> found = ReadCertificates(files_);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!found.ok()) {
    NoteFault(found.status());
    return found.status();
  }
  fault_.clear();
  if (Same(*found, *current_)) return absl::OkStatus();
  current_ = std::make_shared<const Certificates>(*std::move(found));
  Log(LogLevel::kInfo, "certificates reloaded",
      {{"file", files_.certificate.empty() ? files_.ca : files_.certificate},
       {"names", absl::StrJoin(current_->names, ",")},
       {"not_after", absl::FormatTime(current_->not_after, absl::UTCTimeZone())}});
  WarnOfValidity(files_, *current_, now);
  return absl::OkStatus();
}

void TlsIdentity::NoteFault(const absl::Status& fault) {
  const std::string message(fault.message());
  times_seen_ = message == fault_ ? times_seen_ + 1 : 1;
  fault_ = message;
  if (times_seen_ != 2) return;
  Log(LogLevel::kWarning, "certificates not reloaded: the ones before stay in use",
      {{"reason", message}});
}

}  // namespace tramontane
