// The ports that say how a process does, open before the model is loaded.
#ifndef TRAMONTANE_PROTO_SERVING_STATUS_PORTS_H_
#define TRAMONTANE_PROTO_SERVING_STATUS_PORTS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/serving/health_port.h"
#include "proto/serving/metrics_endpoint.h"

namespace prometheus {
class Gauge;
class Registry;
}  // namespace prometheus

namespace tramontane {

// --health_listen, and the metrics' port with the process's one registry. Its first metric is
// tramontane_loading: 1 until the process has loaded what it serves, then 0.
class StatusPorts {
 public:
  // `metrics_address` as in MetricsEndpoint::Start. Fails as that and HealthPort::StartFromFlag do.
  static absl::StatusOr<std::unique_ptr<StatusPorts>> Start(const std::string& metrics_address,
                                                            bool allow_plaintext_beyond_loopback);

  // From now on there is something to drain: a termination signal is held for whoever waits for it.
  void EndLoading();

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }
  const std::string& metrics_address() const { return metrics_->address(); }
  HealthPort* health() const { return health_.get(); }

 private:
  StatusPorts();

  const std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Gauge* const loading_;
  std::unique_ptr<MetricsEndpoint> metrics_;
  std::unique_ptr<HealthPort> health_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_STATUS_PORTS_H_
