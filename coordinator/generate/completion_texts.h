// The texts of several completions of one request, on one terminal.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_COMPLETION_TEXTS_H_
#define TRAMONTANE_COORDINATOR_GENERATE_COMPLETION_TEXTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tramontane {

// One after the other, in order of their index: the first that is not over streams, what comes of
// later ones waits for it. Each begins with a line that names it, where there are several.
// Thread-compatible.
class CompletionTexts {
 public:
  explicit CompletionTexts(uint32_t num_completions) : num_completions_(num_completions) {}

  // More of a completion, the last of it where `over`. Returns what can be printed now.
  std::string Add(uint32_t completion_index, std::string_view text, bool over);
  // What is there of those that will not go on.
  std::string Finish();

 private:
  struct Text {
    std::string unprinted;
    bool begun = false;  // its name was printed
    bool over = false;
  };
  // What was not printed of a completion.
  std::string Rest(uint32_t completion_index, Text& text) const;

  const uint32_t num_completions_;
  uint32_t current_ = 0;
  std::map<uint32_t, Text> texts_;  // by completion_index
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_COMPLETION_TEXTS_H_
