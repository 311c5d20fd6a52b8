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

// The PATH. INVALID_ARGUMENT naming the address where it is not unix:PATH, or where PATH is longer
// than a socket's may be or has a character that a list of workers or gRPC would not take for
// itself.
absl::StatusOr<std::string> ParseUnixAddress(absl::string_view address);

// The file of a socket that listens. Its end removes the file, unless another's is there by then.
class UnixSocketFile {
 public:
  // Binds `fd`, an unbound Unix stream socket, to a new file at `path`, and listens. Who may write
  // the file may connect, so the umask decides. A file that is there because its process was killed
  // is replaced. FAILED_PRECONDITION where there is a file that is no socket, UNAVAILABLE where a
  // process listens at it, or for the system's reason.
  static absl::StatusOr<std::unique_ptr<UnixSocketFile>> Listen(int fd, const std::string& path,
                                                                int backlog);
  ~UnixSocketFile();
  UnixSocketFile(const UnixSocketFile&) = delete;
  UnixSocketFile& operator=(const UnixSocketFile&) = delete;

 private:
  UnixSocketFile(std::string path, dev_t device, ino_t inode)
      : path_(std::move(path)), device_(device), inode_(inode) {}

  const std::string path_;
  const dev_t device_;
  const ino_t inode_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_UNIX_SOCKET_H_
