// Mixtral Instruct's conversation format, encoded piece by piece.
#ifndef TRAMONTANE_MODEL_CHAT_TEMPLATE_H_
#define TRAMONTANE_MODEL_CHAT_TEMPLATE_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer.h"

namespace tramontane {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// Token ids of a conversation in the V1 instruct format of mistral-common, which Mixtral 8x7B
// Instruct was trained on: BOS once; "[INST] … [/INST]" for each user turn, encoded by itself; the
// system message before the first user message with a blank line; each assistant turn encoded by
// itself and ended by EOS. User text can never become a control token. INVALID_ARGUMENT (naming the
// message) for an empty conversation, an unknown role, turns out of order, or one that does not end
// with the user; FAILED_PRECONDITION where the tokenizer has no BOS or EOS.
absl::StatusOr<std::vector<int>> EncodeChat(const Tokenizer& tokenizer,
                                            std::span<const ChatMessage> messages);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_CHAT_TEMPLATE_H_
