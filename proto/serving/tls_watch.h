// Certificates that change while the process runs.
#ifndef TRAMONTANE_PROTO_SERVING_TLS_WATCH_H_
#define TRAMONTANE_PROTO_SERVING_TLS_WATCH_H_

#include <memory>
#include <vector>

#include "proto/serving/periodic_task.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/tls_identity.h"

namespace tramontane {

// Refreshes identities every second, and shows when they expire, for as long as it lives.
class TlsWatch {
 public:
  // `metrics` outlives the watch. Null identities are passed over.
  TlsWatch(const std::vector<std::shared_ptr<TlsIdentity>>& identities, SecurityMetrics* metrics);

 private:
  void ShowExpiry(const TlsIdentity& identity);

  std::vector<std::shared_ptr<TlsIdentity>> identities_;
  SecurityMetrics* const metrics_;
  std::unique_ptr<PeriodicTask> task_;  // null: nothing to watch; last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TLS_WATCH_H_
