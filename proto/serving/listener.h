// What every Tramontane server process does alike: listen, report health, reflect, stop.
#ifndef TRAMONTANE_PROTO_SERVING_LISTENER_H_
#define TRAMONTANE_PROTO_SERVING_LISTENER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/serving/call_loop.h"
#include "proto/serving/connection_acceptor.h"
#include "proto/serving/unknown_method.h"

namespace grpc {
class CompletionQueue;
class Server;
class ServerBuilder;
class ServerCredentials;
class Service;
}  // namespace grpc

namespace tramontane {

class HealthBoard;

struct ListenerOptions {
  std::string address;  // HOST:PORT, port 0 takes a free one, or unix:PATH
  // Null: plaintext, which beyond loopback needs leave.
  std::shared_ptr<grpc::ServerCredentials> credentials;
  bool allow_plaintext_beyond_loopback = false;
  // Of a message that comes in. One that goes out may have 64 MiB, or this where it is more.
  int max_message_bytes = 64 << 20;
  // What gRPC's buffers may take of all connections together, messages that are not whole yet among
  // them; where there is more, calls and connections end with RESOURCE_EXHAUSTED or UNAVAILABLE.
  // 0: no bound.
  size_t max_memory_bytes = 0;
  // How often a client may ask for a sign of life; below that gRPC ends the connection ("too many
  // pings").
  absl::Duration min_ping_interval = absl::Seconds(5);
};

// A started gRPC server with the standard health service (grpc.health.v1) and reflection. A method
// that it does not have is answered with those that it has; a compressed message, with
// UNIMPLEMENTED.
class Listener {
 public:
  // A null `service` serves health and reflection alone.
  // INVALID_ARGUMENT for what is no address; FAILED_PRECONDITION (naming the flag) for a plaintext
  // address beyond loopback without leave; UNAVAILABLE where it cannot be bound; as
  // UnixSocketFile::Listen.
  // `configure` may set further options of the builder before it starts.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(
      const ListenerOptions& options, grpc::Service* service,
      const std::function<void(grpc::ServerBuilder&)>& configure = nullptr);
  // As above, with methods whose calls are a CallLoop's, at least one; `spin` is the loop's. What
  // the methods refer to outlives the listener.
  static absl::StatusOr<std::unique_ptr<Listener>> StartLoop(
      const ListenerOptions& options, std::vector<LoopMethod> methods, absl::Duration spin,
      const std::function<void(grpc::ServerBuilder&)>& configure = nullptr);
  ~Listener();

  const std::string& address() const { return address_; }  // with the port that was taken
  // Health of the whole server ("") and of the service's full name.
  void SetServing(bool serving);
  // Health of another name.
  void SetServing(const std::string& name, bool serving);
  // Health to NOT_SERVING; takes no new connection and no new call, and tells the clients at once
  // (HTTP/2's GOAWAY), so that they call another server while running calls go on here. To be
  // followed by Shutdown.
  void RefuseNewCalls();
  // Health to NOT_SERVING, no new calls, running ones finish until `deadline`, then are cancelled.
  // Of a CallLoop's calls, those that watch the health end at once.
  void Shutdown(absl::Time deadline);

 private:
  Listener() = default;

  // Starts the server with what `add_methods` adds, a service of ours among it or not; its health
  // is NOT_SERVING. INVALID_ARGUMENT, FAILED_PRECONDITION and UNAVAILABLE as above.
  absl::Status Serve(const ListenerOptions& options, bool has_service,
                     const std::function<void(grpc::ServerBuilder&)>& add_methods);

  UnknownMethodService unknown_methods_;
  std::unique_ptr<CallLoop> loop_;       // null: methods have callbacks of gRPC's
  HealthBoard* health_board_ = nullptr;  // the server's, where there is a loop
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<ConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::CompletionQueue> refusal_;  // hears of the end of what RefuseNewCalls began
  std::vector<std::string> service_names_;          // full; ours first
  std::string address_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_LISTENER_H_
