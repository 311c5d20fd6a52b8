// The listening socket of a server.
#ifndef TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_
#define TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/serving/unix_socket.h"

namespace tramontane {

// Accepts connections and hands them on, for as long as the process has descriptors to spare: gRPC
// 1.51 closes its own listening socket, for good, when there is none left to accept with, so that
// whoever opens enough connections could silence a server.
class ConnectionAcceptor {
 public:
  // INVALID_ARGUMENT for an address that is neither HOST:PORT nor unix:PATH; UNAVAILABLE where it
  // cannot be bound; as UnixSocketFile::Listen.
  static absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen(const std::string& address);
  // Stops, as Stop does.
  ~ConnectionAcceptor();
  ConnectionAcceptor(const ConnectionAcceptor&) = delete;
  ConnectionAcceptor& operator=(const ConnectionAcceptor&) = delete;

  // What is listened on: of port 0, with the port that was taken.
  const std::string& address() const { return address_; }
  int listener_fd() const { return listener_fd_; }
  // Once. `on_connection` owns the descriptor that it is given; it is called from one thread. A
  // connection that would leave the process less than a reserve of descriptors (an eighth of its
  // limit, at most 64) is closed at once. Where there is none at all, peers wait in the backlog;
  // those that a Unix socket's has no room for are refused.
  void Start(std::function<void(int fd)> on_connection);
  // Accepts no more; returns when on_connection is not running.
  void Stop();

 private:
  explicit ConnectionAcceptor(std::string address);
  absl::Status ListenOnTcp();
  absl::Status ListenOnUnix();
  void Loop();
  // False where there are no descriptors: the peers have to wait.
  bool AcceptOne();

  std::string address_;
  const int wake_fd_;
  int listener_fd_ = -1;
  std::unique_ptr<UnixSocketFile> file_;  // null: TCP
  std::function<void(int fd)> on_connection_;
  bool refusing_ = false;  // of thread_: said once
  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_CONNECTION_ACCEPTOR_H_
