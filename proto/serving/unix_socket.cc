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
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tramontane {
namespace {

constexpr absl::string_view kScheme = "unix:";
constexpr absl::string_view kLiteral = "/._-+=@~:";  // beside letters and digits
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
// For the lock that starting servers hold for a moment.
constexpr absl::Duration kLockTimeout = absl::Seconds(5);
constexpr absl::Duration kLockPause = absl::Milliseconds(5);

absl::Status CannotListen(const std::string& path, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", kScheme, path, ": ", why));
}

sockaddr_un SocketAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, kMaxPathBytes);
  return address;
}

// Lets one process at a time see whose a file is and put its own there.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    fd_ = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const absl::Time end = absl::Now() + kLockTimeout;
    while (fd_ >= 0 && !locked_) {
      locked_ = flock(fd_, LOCK_EX | LOCK_NB) == 0;
      if (locked_ || errno != EWOULDBLOCK || absl::Now() >= end) break;
      absl::SleepFor(kLockPause);
    }
    error_ = errno;
  }
  ~DirectoryLock() {
    if (fd_ >= 0) close(fd_);
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  bool locked() const { return locked_; }
  int error() const { return error_; }

 private:
  int fd_ = -1;
  bool locked_ = false;
  int error_ = 0;
};

// Why the socket at `path` is not to be replaced; OK where nobody listens there.
absl::Status CheckLeft(const std::string& path) {
  const sockaddr_un address = SocketAddress(path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return CannotListen(path, std::strerror(errno));
  const int error =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
  close(fd);
  if (error == ECONNREFUSED) return absl::OkStatus();
  // EAGAIN: so many wait already.
  if (error == 0 || error == EAGAIN) {
    return CannotListen(path, "another process listens there; end it, or choose another path");
  }
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
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : CannotListen(path, std::strerror(errno));
}

}  // namespace

bool IsUnixAddress(absl::string_view address) { return absl::StartsWith(address, kScheme); }

absl::StatusOr<std::string> ParseUnixAddress(absl::string_view address) {
  const absl::string_view path = address.substr(std::min(kScheme.size(), address.size()));
  const auto literal = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           kLiteral.find(c) != absl::string_view::npos;
  };
  if (!IsUnixAddress(address) || path.empty() || path.back() == '/' ||
      !std::all_of(path.begin(), path.end(), literal)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\" is not unix:PATH with a path of letters, digits and ",
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
  const DirectoryLock lock(path);
  if (!lock.locked()) {
    return CannotListen(
        path, absl::StrCat("its directory cannot be locked: ", std::strerror(lock.error())));
  }
  if (absl::Status room = MakeRoom(path); !room.ok()) return room;
  const sockaddr_un address = SocketAddress(path);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return CannotListen(path, std::strerror(errno));
  }
  struct stat made = {};
  if (stat(path.c_str(), &made) != 0) return CannotListen(path, std::strerror(errno));
  std::unique_ptr<UnixSocketFile> file(new UnixSocketFile(path, made.st_dev, made.st_ino));
  if (listen(fd, backlog) != 0) return CannotListen(path, std::strerror(errno));
  return file;
}

UnixSocketFile::~UnixSocketFile() {
  const DirectoryLock lock(path_);
  struct stat found = {};
  if (lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_) {
    unlink(path_.c_str());
  }
}

}  // namespace tramontane
