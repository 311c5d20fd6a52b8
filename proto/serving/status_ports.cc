#include "proto/serving/status_ports.h"

#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <utility>

#include "proto/serving/process.h"

namespace tramontane {

StatusPorts::StatusPorts()
    : registry_(std::make_shared<prometheus::Registry>()),
      loading_(&prometheus::BuildGauge()
                    .Name("tramontane_loading")
                    .Help("1 while the process loads what it serves, then 0.")
                    .Register(*registry_)
                    .Add({})) {
  loading_->Set(1);
}

absl::StatusOr<std::unique_ptr<StatusPorts>> StatusPorts::Start(
    const std::string& metrics_address, bool allow_plaintext_beyond_loopback) {
  std::unique_ptr<StatusPorts> ports(new StatusPorts);
  absl::StatusOr<std::unique_ptr<HealthPort>> health =
      HealthPort::StartFromFlag(allow_plaintext_beyond_loopback);
  if (!health.ok()) return health.status();
  ports->health_ = *std::move(health);
  absl::StatusOr<std::unique_ptr<MetricsEndpoint>> metrics =
      MetricsEndpoint::Start(metrics_address, allow_plaintext_beyond_loopback, ports->registry_);
  if (!metrics.ok()) return metrics.status();
  ports->metrics_ = *std::move(metrics);
  return ports;
}

void StatusPorts::EndLoading() {
  loading_->Set(0);
  HoldTerminationSignal();
}

}  // namespace tramontane
