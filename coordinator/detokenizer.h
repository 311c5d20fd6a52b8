// The text of a completion, token by token.
#ifndef TRAMONTANE_COORDINATOR_DETOKENIZER_H_
#define TRAMONTANE_COORDINATOR_DETOKENIZER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/utf8_assembler.h"
#include "model/tokenizer.h"

namespace tramontane {

// The text of `token_ids` with U+FFFD for bytes that are no UTF-8. Ids past the vocabulary of the
// tokenizer (padding of the embedding) give no text.
std::string DecodeText(const Tokenizer& tokenizer, std::span<const int32_t> token_ids);

// All text that it returns, concatenated, is Decode(prompt + completion) without Decode(prompt)
// (with it, where the prompt is echoed), in whole UTF-8 characters, with U+FFFD for bytes that are
// none. A character that the prompt's last tokens begin and the completion ends comes whole.
// Thread-compatible.
class Detokenizer {
 public:
  // `tokenizer` outlives the detokenizer; null: there is no text.
  Detokenizer(const Tokenizer* tokenizer, std::span<const int32_t> prompt_token_ids, bool echo);

  // The prompt's text, without an incomplete character at its end; empty unless echoed.
  const std::string& prompt_text() const { return prompt_text_; }
  // The characters that the next token of the completion completes.
  std::string Feed(int32_t token_id);
  // What was held back as incomplete. No Feed may follow.
  std::string Finish();

 private:
  const Tokenizer* const tokenizer_;
  const bool echo_;
  std::string prompt_text_;
  std::string prompt_tail_;  // incomplete character at the prompt's end, until the first byte
  // While the text so far is empty, the rule of SentencePiece for a text's first pieces is at work:
  // the pieces that it has swallowed (two tell as much as many).
  bool text_began_ = false;
  std::vector<int> swallowed_;
  Utf8Assembler assembler_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_DETOKENIZER_H_
