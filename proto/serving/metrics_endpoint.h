// The Prometheus endpoint of a process.
#ifndef TRAMONTANE_PROTO_SERVING_METRICS_ENDPOINT_H_
#define TRAMONTANE_PROTO_SERVING_METRICS_ENDPOINT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Exposer;
class Registry;
}  // namespace prometheus

namespace tramontane {

class ProcessMetrics;

// Serves http://ADDRESS/metrics: the process's one registry, which main creates and hands on, and
// ProcessMetrics.
class MetricsEndpoint {
 public:
  // "" serves nothing; "HOST:PORT" else. Metrics carry no prompts and no secrets, but an address
  // beyond loopback needs `allow_plaintext_beyond_loopback` all the same. UNAVAILABLE where the
  // address cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(
      const std::string& address, bool allow_plaintext_beyond_loopback,
      std::shared_ptr<prometheus::Registry> registry);
  ~MetricsEndpoint();

  const std::string& address() const {
    return address_;
  }  // with the port that was taken; "" for none

 private:
  MetricsEndpoint() = default;
  std::shared_ptr<ProcessMetrics> process_;  // the exposer does not own what it collects
  std::unique_ptr<prometheus::Exposer> exposer_;
  std::string address_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_METRICS_ENDPOINT_H_
