#include "proto/serving/tls_watch.h"

#include <string>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);

}  // namespace

TlsWatch::TlsWatch(const std::vector<std::shared_ptr<TlsIdentity>>& identities,
                   SecurityMetrics* metrics)
    : metrics_(metrics) {
  for (const std::shared_ptr<TlsIdentity>& identity : identities) {
    if (identity == nullptr) continue;
    identities_.push_back(identity);
    ShowExpiry(*identity);
  }
  if (identities_.empty()) return;
  task_ = std::make_unique<PeriodicTask>(kInterval, [this] {
    for (const std::shared_ptr<TlsIdentity>& identity : identities_) {
      if (identity->Refresh(absl::Now()).ok()) ShowExpiry(*identity);
    }
  });
}

void TlsWatch::ShowExpiry(const TlsIdentity& identity) {
  const std::string& file = identity.files().certificate;
  if (!file.empty()) metrics_->ShowExpiry(file, identity.current()->not_after);
}

}  // namespace tramontane
