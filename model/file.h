// Files of a checkpoint, opened for reading.
#ifndef TRAMONTANE_MODEL_FILE_H_
#define TRAMONTANE_MODEL_FILE_H_

#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace tramontane {

// Owns one descriptor, or none (-1). Not thread-safe.
class ScopedFd {
 public:
  explicit ScopedFd(int fd = -1) : fd_(fd) {}
  ScopedFd(ScopedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ScopedFd& operator=(ScopedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~ScopedFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }

 private:
  int fd_;
};

// A regular file, open for reading.
struct OpenedFile {
  ScopedFd fd;
  uint64_t size = 0;  // bytes
};

// NOT_FOUND where there is no such file, PERMISSION_DENIED where it may not be read,
// INVALID_ARGUMENT where it is no regular file, UNAVAILABLE for another error of the system.
absl::StatusOr<OpenedFile> OpenFile(const std::string& path);

// The whole content of a small file. As OpenFile; INVALID_ARGUMENT past `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_FILE_H_
