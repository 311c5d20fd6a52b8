// Stop strings in a text that comes in pieces.
#ifndef TRAMONTANE_COORDINATOR_STOP_STRINGS_H_
#define TRAMONTANE_COORDINATOR_STOP_STRINGS_H_

#include <string>
#include <string_view>
#include <vector>

namespace tramontane {

// Lets text through up to the first stop string and holds back what may be the start of one. The
// stop string that ends first wins; of those that end together, the longest. So the result does not
// depend on how the text is cut into pieces. Thread-compatible.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops);  // none empty

  // The text that is certain to come before any stop string. Nothing once stopped.
  std::string Feed(std::string_view text);
  bool stopped() const { return stopped_; }
  // The text ended without a stop string: what was held back.
  std::string Finish();

 private:
  // Length of the longest end of held_ that a stop string begins with.
  size_t UndecidedLength() const;

  const std::vector<std::string> stops_;
  std::string held_;  // shorter than the longest stop string, between calls
  bool stopped_ = false;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_STOP_STRINGS_H_
