#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/health_port.h"

#include <utility>

#include "absl/flags/flag.h"
#include "proto/serving/host_port.h"
#include "proto/serving/listener.h"

ABSL_FLAG(std::string, health_listen, "",
          "HOST:PORT of a port for probes alone, without TLS: grpc.health.v1, where the empty name "
          "is ready and \"live\" is running. Open before the model is loaded. Empty: none; health "
          "is on --listen too.");

namespace tramontane {
namespace {

// What a probe asks is a name.
constexpr int kMaxQuestionBytes = 4'096;

}  // namespace

HealthPort::HealthPort() = default;
HealthPort::~HealthPort() = default;

absl::StatusOr<std::unique_ptr<HealthPort>> HealthPort::Start(
    const std::string& address, bool allow_plaintext_beyond_loopback) {
  std::unique_ptr<HealthPort> port(new HealthPort);
  if (address.empty()) return port;
  const absl::Status allowed =
      CheckPlaintextAddress(address, "health_listen", allow_plaintext_beyond_loopback);
  if (!allowed.ok()) return allowed;
  ListenerOptions options;
  options.address = address;
  options.max_message_bytes = kMaxQuestionBytes;
  options.allow_plaintext_beyond_loopback = allow_plaintext_beyond_loopback;
  absl::StatusOr<std::unique_ptr<Listener>> listener = Listener::Start(options, nullptr);
  if (!listener.ok()) return listener.status();
  port->listener_ = *std::move(listener);
  port->listener_->SetServing(kLive, true);
  return port;
}

absl::StatusOr<std::unique_ptr<HealthPort>> HealthPort::StartFromFlag(
    bool allow_plaintext_beyond_loopback) {
  return Start(absl::GetFlag(FLAGS_health_listen), allow_plaintext_beyond_loopback);
}

std::string HealthPort::address() const { return listener_ != nullptr ? listener_->address() : ""; }

void HealthPort::SetReady(bool ready) {
  if (listener_ != nullptr) listener_->SetServing(ready);
}

}  // namespace tramontane
