#include "proto/serving/line_limit.h"

namespace tramontane {

std::optional<int64_t> LineLimit::Take(absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!begin_.has_value() || now - *begin_ >= window_) {
    begin_ = now;
    lines_ = 0;
  }
  if (lines_ == max_lines_) {
    ++left_out_;
    return std::nullopt;
  }
  ++lines_;
  const int64_t left_out = left_out_;
  left_out_ = 0;
  return left_out;
}

}  // namespace tramontane
