#include "attention_worker/grpc/worker_list_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "attention_worker/grpc/address_resolver.h"
#include "model/log.h"

namespace tramontane {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

absl::Status FileError(int error, const std::string& name) {
  const std::string message =
      absl::StrCat(name, ": ", std::strerror(error),
                   "; expected a file with HOST:PORT or unix:PATH on each line");
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseWorkerFile(const std::string& text,
                                                         const std::string& name) {
  std::vector<std::string> targets;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    const std::string target(line);
    if (!IsWorkerTarget(target)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ", line ", number, ": \"", target,
                       "\" is not HOST:PORT with a port in [1, 65535], nor unix:PATH"));
    }
    targets.push_back(target);
  }
  if (targets.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " names no worker; expected HOST:PORT or unix:PATH on each line"));
  }
  return targets;
}

absl::StatusOr<std::unique_ptr<WorkerListFile>> WorkerListFile::Open(const std::string& path,
                                                                     const std::string& flag) {
  std::unique_ptr<WorkerListFile> file(new WorkerListFile(path, flag));
  const absl::StatusOr<Version> version = file->FindVersion();
  if (!version.ok()) return version.status();
  absl::StatusOr<std::vector<std::string>> targets = file->Read();
  if (!targets.ok()) return targets.status();
  const std::lock_guard<std::mutex> lock(file->mutex_);
  file->version_ = *version;
  file->targets_ = *std::move(targets);
  return file;
}

absl::StatusOr<WorkerListFile::Version> WorkerListFile::FindVersion() const {
  struct stat found;
  if (stat(path_.c_str(), &found) != 0) {
    return FileError(errno, absl::StrCat("--", flag_, "=", path_));
  }
  Version version;
  version.device = found.st_dev;
  version.inode = found.st_ino;
  version.size = found.st_size;
  version.changed_ns = Nanoseconds(found.st_ctim);
  version.modified_ns = Nanoseconds(found.st_mtim);
  return version;
}

absl::StatusOr<std::vector<std::string>> WorkerListFile::Read() const {
  const std::string name = absl::StrCat("--", flag_, "=", path_);
  errno = 0;
  std::ifstream stream(path_, std::ios::binary);
  if (!stream) return FileError(errno, name);
  std::string text(kMaxFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) return FileError(EIO, name);
  text.resize(static_cast<size_t>(stream.gcount()));
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": more than ", kMaxFileBytes, " bytes; expected a list of workers"));
  }
  return ParseWorkerFile(text, name);
}

std::vector<std::string> WorkerListFile::Targets() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::StatusOr<Version> version = FindVersion();
  if (version.ok() && *version == version_) return targets_;
  absl::StatusOr<std::vector<std::string>> targets =
      version.ok() ? Read() : absl::StatusOr<std::vector<std::string>>(version.status());
  if (!targets.ok()) {
    const std::string failure(targets.status().message());
    if (std::exchange(last_failure_, failure) != failure) {
      Log(LogLevel::kWarning, "list of workers not taken: the last good one stays",
          {{"reason", failure}, {"workers", targets_.size()}});
    }
    return targets_;
  }
  last_failure_.clear();
  version_ = *version;  // of before the read: a change since then is seen at the next look
  if (*targets != targets_) {
    Log(LogLevel::kInfo, "list of workers changed",
        {{"file", path_}, {"workers", absl::StrJoin(*targets, ",")}});
    targets_ = *std::move(targets);
  }
  return targets_;
}

}  // namespace tramontane
