// "unix:PATH": servers and peers on one machine, by a socket in the file system.
#ifndef TRAMONTANE_PROTO_SERVING_UNIX_SOCKET_H_
#define TRAMONTANE_PROTO_SERVING_UNIX_SOCKET_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tramontane {

// Whether an address begins with "unix:", as gRPC's do.
bool IsUnixAddress(absl::string_view address);

// The PATH, which is absolute, as every process has a working directory of its own.
// INVALID_ARGUMENT naming the address where it is not unix:PATH, or where PATH is longer than a
// socket's may be or has a character that a list of workers or gRPC would not take for itself.
absl::StatusOr<std::string> ParseUnixAddress(absl::string_view address);

// The file of a socket that listens, and beside it PATH.lock, which a process keeps locked as long
// as it listens. Its end removes both, but not a socket that another program has put there since.
// Thread-compatible. On a local file system: others may not tell whether a process lives.
class UnixSocketFile {
 public:
  // Binds `fd`, an unbound Unix stream socket, to a new file at `path`, and listens. Who may write
  // the socket may connect, so the umask decides. One that is there because its process was killed
  // is replaced. FAILED_PRECONDITION where there is a file that is no socket, UNAVAILABLE where a
  // process listens at it, or for the system's reason.
  static absl::StatusOr<std::unique_ptr<UnixSocketFile>> Listen(int fd, const std::string& path,
                                                                int backlog);
  ~UnixSocketFile();
  UnixSocketFile(const UnixSocketFile&) = delete;
  UnixSocketFile& operator=(const UnixSocketFile&) = delete;

 private:
  UnixSocketFile(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}

  const std::string path_;
  const int lock_fd_;
  dev_t device_ = 0;  // of the socket
  ino_t inode_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_UNIX_SOCKET_H_
