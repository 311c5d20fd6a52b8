// The listening socket of a server.
#ifndef TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_
#define TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace tramontane {

// Accepts connections and hands them on, for as long as the process has descriptors to spare: gRPC
// 1.51 closes its own listening socket, for good, when there is none left to accept with, so that
// whoever opens enough connections could silence a server.
class ConnectionAcceptor {
 public:
  // INVALID_ARGUMENT for an address that is not HOST:PORT; UNAVAILABLE where it cannot be bound.
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen(const std::string& address);
  // Stops, as Stop does.
  ~ConnectionAcceptor();
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

  int port() const { return port_; }
  int listener_fd() const { return listener_fd_; }
  // Once. `on_connection` owns the descriptor that it is given; it is called from one thread. A
  // connection that would leave the process less than a reserve of descriptors (an eighth of its
  // limit, at most 64) is closed at once.
  void Start(std::function<void(int fd)> on_connection);
  // Accepts no more; returns when on_connection is not running.
  void Stop();

 private:
  ConnectionAcceptor(int listener_fd, int wake_fd, int port)
      : listener_fd_(listener_fd), wake_fd_(wake_fd), port_(port) {}
  void Loop();
  // False where there are no descriptors: the peers have to wait.
  bool AcceptOne();

  const int listener_fd_;
  const int wake_fd_;
  const int port_;
  std::function<void(int fd)> on_connection_;
  bool refusing_ = false;  // of thread_: said once
  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_
