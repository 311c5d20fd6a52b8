#include "proto/serving/tls_watch.h"

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
    metrics_->ShowExpiry(*identity);
  }
  if (identities_.empty()) return;
  task_ = std::make_unique<PeriodicTask>(kInterval, [this] {
    for (const std::shared_ptr<TlsIdentity>& identity : identities_) {
      if (identity->Refresh(absl::Now()).ok()) metrics_->ShowExpiry(*identity);
    }
  });
}

}  // namespace tramontane
