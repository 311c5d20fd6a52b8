#include "proto/serving/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr size_t kMaxBytes = size_t{4} << 20;  // the system's list of public CAs is 200 KiB

absl::Status Unreadable(const std::string& path, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": cannot be read: ", std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr) return Unreadable(path, errno);
  std::string text;
  char piece[16384];
  size_t size = 0;
  while ((size = std::fread(piece, 1, sizeof(piece), file.get())) > 0) {
    text.append(piece, size);
    if (text.size() > kMaxBytes) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": is larger than 4 MiB"));
    }
  }
  if (std::ferror(file.get()) != 0) return Unreadable(path, errno);
  return text;
}

}  // namespace tramontane
