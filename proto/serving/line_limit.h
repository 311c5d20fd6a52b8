// A bound on what others can have a process write into its log.
#ifndef TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_
#define TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// So many lines in a window, where any peer can cause one. Thread-safe.
class LineLimit {
 public:
  LineLimit(int max_lines, std::chrono::seconds window) : max_lines_(max_lines), window_(window) {}

  // How many lines were left out before this one, which is to be written; nothing where it is left
  // out too. `now` is the steady clock's.
  std::optional<int64_t> Take(std::chrono::steady_clock::time_point now);

 private:
  const int max_lines_;
  const std::chrono::seconds window_;

  std::mutex mutex_;
  std::optional<std::chrono::steady_clock::time_point> begin_
      ABSL_GUARDED_BY(mutex_);             // of the window
  int lines_ ABSL_GUARDED_BY(mutex_) = 0;  // in it
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_
