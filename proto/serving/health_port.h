// --health_listen: a port of its own for probes, open before the model is loaded.
#ifndef TRAMONTANE_PROTO_SERVING_HEALTH_PORT_H_
#define TRAMONTANE_PROTO_SERVING_HEALTH_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tramontane {

class Listener;

// The standard health service (grpc.health.v1) alone, in plaintext, for probes that speak no TLS,
// such as Kubernetes' own. Two names are answered: "" is SERVING while the process is ready for
// work, as on the process's main port; "live" for as long as the process runs, so also while it
// loads, waits for experts or drains. Thread-safe.
class HealthPort {
 public:
  static constexpr char kLive[] = "live";

  // At `address`, HOST:PORT or unix:PATH; "" serves nothing. Fails as Listener::Start does.
  static absl::StatusOr<std::unique_ptr<HealthPort>> Start(const std::string& address,
                                                           bool allow_plaintext_beyond_loopback);
  // At --health_listen.
  static absl::StatusOr<std::unique_ptr<HealthPort>> StartFromFlag(
      bool allow_plaintext_beyond_loopback);
  ~HealthPort();

  std::string address() const;  // with the port that was taken; "" where nothing is served
  void SetReady(bool ready);    // false at first

 private:
  HealthPort();

  std::unique_ptr<Listener> listener_;  // null where nothing is served
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_HEALTH_PORT_H_
