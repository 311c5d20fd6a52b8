#include "proto/serving/unix_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr absl::string_view kScheme = "unix:";
constexpr absl::string_view kLiteral = "/._-+=@~";  // beside letters and digits
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
constexpr absl::string_view kAnother =
    "another process listens there; end it, or choose another path";
constexpr absl::string_view kLockSuffix = ".lock";
constexpr int kLockAttempts = 100;  // each finds a lock file that has just been removed

absl::Status CannotListen(const std::string& path, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", kScheme, path, ": ", why));
}

sockaddr_un SocketAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, kMaxPathBytes);
  return address;
}

// The file beside a socket that its process has locked as long as it listens; -1 and errno where it
// cannot be had, EWOULDBLOCK where another process has it.
int LockFile(const std::string& path) {
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    struct stat opened = {};
    struct stat there = {};
    const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &opened) == 0;
    const int error = errno;
    // The one before may have removed it between the two calls.
    if (locked && stat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev &&
        opened.st_ino == there.st_ino) {
      return fd;
    }
    close(fd);
    errno = error;
    if (!locked) return -1;
  }
  errno = EWOULDBLOCK;
  return -1;
}

// Why the socket at `path` is not to be replaced; OK where nobody listens there.
absl::Status CheckLeft(const std::string& path) {
  const sockaddr_un address = SocketAddress(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return CannotListen(path, std::strerror(errno));
  const int error =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  if (error == ECONNREFUSED || error == ENOENT) return absl::OkStatus();
  // EAGAIN: so many wait already.
  if (error == 0 || error == EAGAIN) return CannotListen(path, kAnother);
  return CannotListen(path,
                      absl::StrCat("there is a socket, and whether a process listens at it is "
                                   "unknown: ",
                                   std::strerror(error)));
}

// Removes a file that a process left which was killed.
absl::Status MakeRoom(const std::string& path) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : CannotListen(path, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen on ", kScheme, path,
                     ": there is a file that is no socket; remove it, or choose another path"));
  }
  if (absl::Status left = CheckLeft(path); !left.ok()) return left;
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return CannotListen(path, std::strerror(errno));
}

}  // namespace

bool IsUnixAddress(absl::string_view address) { return absl::StartsWith(address, kScheme); }

absl::StatusOr<std::string> ParseUnixAddress(absl::string_view address) {
  const absl::string_view path = address.substr(std::min(kScheme.size(), address.size()));
  const auto literal = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kLiteral.find(c) != absl::string_view::npos;
  };
  // gRPC takes what follows two slashes for a host.
  if (!IsUnixAddress(address) || path.empty() || path.front() != '/' || path.back() == '/' ||
      absl::StartsWith(path, "//") || !std::all_of(path.begin(), path.end(), literal)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address, "\" is not unix:PATH with an absolute path of letters, digits and ",
        kLiteral, "; write, for example, unix:/run/tramontane/worker_0.sock"));
  }
  if (path.size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\" has a path of ", path.size(),
                                                   " bytes; expected at most ", kMaxPathBytes,
                                                   ", the system's limit for sockets"));
  }
  return std::string(path);
}

absl::StatusOr<std::unique_ptr<UnixSocketFile>> UnixSocketFile::Listen(int fd,
                                                                       const std::string& path,
                                                                       int backlog) {
  const std::string lock_path = absl::StrCat(path, kLockSuffix);
  const int lock_fd = LockFile(lock_path);
  if (lock_fd < 0) {
    return errno == EWOULDBLOCK
               ? CannotListen(path, kAnother)
               : CannotListen(path, absl::StrCat(lock_path, ": ", std::strerror(errno)));
  }
  std::unique_ptr<UnixSocketFile> file(new UnixSocketFile(path, lock_fd));
  if (absl::Status room = MakeRoom(path); !room.ok()) return room;
  const sockaddr_un address = SocketAddress(path);
  struct stat made = {};
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      stat(path.c_str(), &made) != 0) {
    return CannotListen(path, std::strerror(errno));
  }
  file->device_ = made.st_dev;
  file->inode_ = made.st_ino;
  if (listen(fd, backlog) != 0) return CannotListen(path, std::strerror(errno));
  return file;
}

UnixSocketFile::~UnixSocketFile() {
  struct stat found = {};
  if (lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_) {
    unlink(path_.c_str());
  }
  unlink(absl::StrCat(path_, kLockSuffix).c_str());
  close(lock_fd_);
}

}  // namespace tramontane
