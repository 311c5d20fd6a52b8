// A bound on what others can have a process write into its log.
#ifndef TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_
#define TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_

#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace tramontane {

// So many lines in a window, where any peer can cause one: ten in ten seconds. Thread-safe.
class LineLimit {
 public:
  explicit LineLimit(int max_lines = 10, absl::Duration window = absl::Seconds(10))
      : max_lines_(max_lines), window_(window) {}

  // How many lines were left out before this one, which is to be written; nothing where it is left
  // out too. `now` is SteadyNow.
  std::optional<int64_t> Take(absl::Time now);

 private:
  const int max_lines_;
  const absl::Duration window_;

  std::mutex mutex_;
  std::optional<absl::Time> begin_ ABSL_GUARDED_BY(mutex_);  // of the window
  int lines_ ABSL_GUARDED_BY(mutex_) = 0;                    // in it
  int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_LINE_LIMIT_H_
