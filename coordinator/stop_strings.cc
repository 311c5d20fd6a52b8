#include "coordinator/stop_strings.h"

#include <algorithm>
#include <utility>

#include "model/check.h"

namespace tramontane {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) TRAMONTANE_CHECK(!stop.empty());
}

std::string StopStrings::Feed(std::string_view text) {
  if (stopped_) return "";
  if (stops_.empty()) return std::string(text);
  held_.append(text);
  size_t stop_begin = std::string::npos;
  size_t stop_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < stop_end || (end == stop_end && begin < stop_begin)) {
      stop_begin = begin;
      stop_end = end;
    }
  }
  if (stop_end != std::string::npos) {
    stopped_ = true;
    held_.resize(stop_begin);
    return std::exchange(held_, "");
  }
  const size_t ready = held_.size() - UndecidedLength();
  std::string result = held_.substr(0, ready);
  held_.erase(0, ready);
  return result;
}

size_t StopStrings::UndecidedLength() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) longest = length;
    }
  }
  return longest;
}

std::string StopStrings::Finish() { return std::exchange(held_, ""); }

}  // namespace tramontane
