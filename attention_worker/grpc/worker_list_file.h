// A file that lists workers, read again whenever it changes.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LIST_FILE_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LIST_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

namespace tramontane {

// HOST:PORT or unix:PATH, one a line; blank lines and what follows a '#' do not count.
// INVALID_ARGUMENT naming `name` and the line that is none, or for a list without any.
absl::StatusOr<std::vector<std::string>> ParseWorkerFile(const std::string& text,
                                                         const std::string& name);

// Thread-safe. Write the file anew beside it and rename it into place, so that no half of it is
// ever read; a list that is damaged all the same keeps the last good one, with a warning.
class WorkerListFile {
 public:
  // Reads the file. NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT naming `flag`, the path and
  // what is wrong: a process does not start with a list that nobody can read.
  static absl::StatusOr<std::unique_ptr<WorkerListFile>> Open(const std::string& path,
                                                              const std::string& flag);

  // The targets that it names now.
  std::vector<std::string> Targets();

 private:
  // What changes when a file is written or replaced.
  struct Version {
    dev_t device = 0;
    ino_t inode = 0;
    int64_t size = -1;
    int64_t changed_ns = 0;
    int64_t modified_ns = 0;

    bool operator==(const Version&) const = default;
  };

  WorkerListFile(const std::string& path, const std::string& flag) : path_(path), flag_(flag) {}
  absl::StatusOr<Version> FindVersion() const;
  absl::StatusOr<std::vector<std::string>> Read() const;

  const std::string path_;
  const std::string flag_;

  std::mutex mutex_;
  Version version_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> targets_ ABSL_GUARDED_BY(mutex_);
  std::string last_failure_ ABSL_GUARDED_BY(mutex_);  // said once, not at every look
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LIST_FILE_H_
