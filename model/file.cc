#include "model/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

absl::Status SystemError(const std::string& path, int error) {
  const std::string message = absl::StrCat(path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(absl::StrCat(path, ": no such file"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(message, "; let this process's user read the file"));
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

absl::StatusOr<OpenedFile> OpenFile(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  ScopedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return SystemError(path, errno);
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return SystemError(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file, found a ",
                     S_ISDIR(status.st_mode) ? "directory" : "device, pipe or socket"));
  }
  return OpenedFile{std::move(fd), static_cast<uint64_t>(status.st_size)};
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  absl::StatusOr<OpenedFile> file = OpenFile(path);
  if (!file.ok()) return file.status();
  if (file->size > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected at most ", max_bytes,
                                                   " bytes, found ", file->size,
                                                   "; this is not the file that its name says"));
  }
  std::string content(file->size, '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = pread(file->fd.get(), content.data() + done, content.size() - done,
                            static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, errno);
    if (n == 0) break;  // The file became shorter while it was read.
    done += static_cast<size_t>(n);
  }
  content.resize(done);
  return content;
}

}  // namespace tramontane
