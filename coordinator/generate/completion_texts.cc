#include "coordinator/generate/completion_texts.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {

std::string CompletionTexts::Add(uint32_t completion_index, std::string_view text, bool over) {
  Text& added = texts_[completion_index];
  added.unprinted += text;
  added.over = added.over || over;
  std::string printable;
  for (auto current = texts_.find(current_); current != texts_.end();
       current = texts_.find(++current_)) {
    printable += Rest(current_, current->second);
    if (!current->second.over) break;
  }
  return printable;
}

std::string CompletionTexts::Finish() {
  std::string printable;
  for (auto& [completion_index, text] : texts_) {
    if (!text.unprinted.empty()) printable += Rest(completion_index, text);
  }
  return printable;
}

std::string CompletionTexts::Rest(uint32_t completion_index, Text& text) const {
  std::string rest = std::exchange(text.unprinted, "");
  if (num_completions_ <= 1 || std::exchange(text.begun, true)) return rest;
  return absl::StrCat(completion_index > 0 ? "\n" : "", "[completion ", completion_index, "]\n",
                      rest);
}

}  // namespace tramontane
