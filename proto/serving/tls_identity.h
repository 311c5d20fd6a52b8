// Who this process is to its peers, and whom it believes: certificates that may change on disk.
#ifndef TRAMONTANE_PROTO_SERVING_TLS_IDENTITY_H_
#define TRAMONTANE_PROTO_SERVING_TLS_IDENTITY_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/serving/certificates.h"

namespace tramontane {

// What connections are made with from now on; those that exist keep what they were made with.
// Thread-safe.
class TlsIdentity {
 public:
  // Fails as ReadCertificates. Warns of a certificate that is not valid at `now`.
  static absl::StatusOr<std::shared_ptr<TlsIdentity>> Load(const CertificateFiles& files,
                                                           absl::Time now);

  std::shared_ptr<const Certificates> current() const;
  const CertificateFiles& files() const { return files_; }

  // Reads the files again and takes what they hold where it is sound; else keeps what there is,
  // and says why, in a warning too where it finds the same fault twice in a row: a certificate and
  // its key are not replaced in one moment.
  absl::Status Refresh(absl::Time now);

 private:
  TlsIdentity(CertificateFiles files, Certificates certificates)
      : files_(std::move(files)),
        current_(std::make_shared<const Certificates>(std::move(certificates))) {}
  void NoteFault(const absl::Status& fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const CertificateFiles files_;

  mutable std::mutex mutex_;
  std::shared_ptr<const Certificates> current_ ABSL_GUARDED_BY(mutex_);
  std::string fault_ ABSL_GUARDED_BY(mutex_);  // what the last Refresh found; "" for none
  int times_seen_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TLS_IDENTITY_H_
