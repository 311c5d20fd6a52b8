// What Prometheus is told of refusals and certificates. See docs/metrics.md.
#ifndef TRAMONTANE_PROTO_SERVING_SECURITY_METRICS_H_
#define TRAMONTANE_PROTO_SERVING_SECURITY_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "proto/serving/line_limit.h"

namespace tramontane {

// Why a call was refused before anything was done for it.
enum class AuthFailure {
  kPeerName,            // of a worker's port: --allowed_peers
  kNoToken,             // of the API
  kUnknownToken,        // of the API
  kRequestRate,         // of a token
  kConcurrentRequests,  // of a token
};

// Thread-safe.
class SecurityMetrics {
 public:
  explicit SecurityMetrics(std::shared_ptr<prometheus::Registry> registry);

  // And writes why, and who it was as far as that is known, into the log: ten lines in ten seconds
  // at most.
  void CountFailure(AuthFailure reason, std::string_view peer, std::string_view message);
  // Of the certificate that was read from `file`.
  void ShowExpiry(const std::string& file, absl::Time not_after);

 private:
  const std::shared_ptr<prometheus::Registry> registry_;
  std::array<prometheus::Counter*, 5> failures_;  // by AuthFailure
  prometheus::Family<prometheus::Gauge>& expiry_;
  LineLimit limit_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_SECURITY_METRICS_H_
