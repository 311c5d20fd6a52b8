#include "proto/serving/metrics_endpoint.h"

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/serving/host_port.h"
#include "proto/serving/process_metrics.h"

namespace tramontane {
namespace {

constexpr char kThreads[] = "4";
constexpr char kRequestTimeoutMs[] = "1000";  // for all of a request, and again for its answer

}  // namespace

MetricsEndpoint::~MetricsEndpoint() = default;

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(
    const std::string& address, bool allow_plaintext_beyond_loopback,
    std::shared_ptr<prometheus::Registry> registry) {
  std::unique_ptr<MetricsEndpoint> endpoint(new MetricsEndpoint);
  if (address.empty()) return endpoint;
  const absl::Status allowed =
      CheckPlaintextAddress(address, "metrics_listen", allow_plaintext_beyond_loopback);
  if (!allowed.ok()) return allowed;
  absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  // The HTTP library takes literal addresses.
  const std::string host = parsed->host == "localhost" ? "127.0.0.1" : parsed->host;
  try {
    // A connection has a thread until it is closed: one that says nothing must not have it for
    // long.
    endpoint->exposer_ = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", JoinHostPort(host, parsed->port), "num_threads",
                                 kThreads, "request_timeout_ms", kRequestTimeoutMs});
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat("cannot listen for metrics on ", address, ": ",
                                               e.what(), "; is the port taken?"));
  }
  const std::vector<int> ports = endpoint->exposer_->GetListeningPorts();
  if (ports.empty()) {
    return absl::UnavailableError(absl::StrCat("cannot listen for metrics on ", address));
  }
  endpoint->exposer_->RegisterCollectable(registry);
  endpoint->process_ = std::make_shared<ProcessMetrics>();
  endpoint->exposer_->RegisterCollectable(endpoint->process_);
  endpoint->address_ = JoinHostPort(parsed->host, ports.front());
  return endpoint;
}

}  // namespace tramontane
