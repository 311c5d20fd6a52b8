#include "model/chat_template.h"

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/quote.h"
#include "model/utf8.h"

namespace tramontane {
namespace {

// Of a role that is none, so much is repeated to whoever sent it.
constexpr size_t kMaxRoleShown = 40;

std::string Shown(const std::string& role) {
  const size_t valid = ValidUtf8Prefix(std::string_view(role).substr(0, kMaxRoleShown));
  return absl::StrCat(Quote(role.substr(0, valid)), valid < role.size() ? "…" : "");
}

absl::Status Refuse(size_t index, const char* expected, const std::string& found) {
  return absl::InvalidArgumentError(
      absl::StrCat("messages[", index, "].role: expected ", expected, ", found ", found));
}

// [system,] user {, assistant, user}
absl::Status CheckTurns(std::span<const ChatMessage> messages) {
  if (messages.empty()) {
    return absl::InvalidArgumentError(
        "messages: expected at least one message of role \"user\", found none");
  }
  std::string_view previous;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant") {
      return Refuse(i, "\"system\", \"user\" or \"assistant\"", Shown(role));
    }
    const bool users_turn = previous != "user";
    if (role == "system" && i > 0) {
      return Refuse(i, "no system message but the first", Quote(role));
    }
    if (role != "system" && role != (users_turn ? "user" : "assistant")) {
      return Refuse(i,
                    users_turn ? "\"user\" (user and assistant take turns)"
                               : "\"assistant\" (user and assistant take turns)",
                    Quote(role));
    }
    previous = role;
  }
  if (previous != "user") {
    return Refuse(messages.size() - 1, "\"user\" in the last message", Quote(previous));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<int>> EncodeChat(const Tokenizer& tokenizer,
                                            std::span<const ChatMessage> messages) {
  const std::optional<int> bos = tokenizer.bos_token_id();
  const std::optional<int> eos = tokenizer.eos_token_id();
  if (!bos.has_value() || !eos.has_value()) {
    return absl::FailedPreconditionError(
        "a chat needs a tokenizer with BOS and EOS, and the checkpoint's has not both; send text "
        "or token ids");
  }
  const absl::Status turns = CheckTurns(messages);
  if (!turns.ok()) return turns;

  std::vector<int> token_ids = {*bos};
  std::string system;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "system") {
      system = absl::StrCat(message.content, "\n\n");
      continue;
    }
    const bool from_user = message.role == "user";
    const absl::StatusOr<std::vector<int>> piece = tokenizer.Encode(
        from_user ? absl::StrCat("[INST] ", system, message.content, " [/INST]") : message.content);
    if (!piece.ok()) {
      return absl::Status(piece.status().code(),
                          absl::StrCat("messages[", i, "].content: ", piece.status().message()));
    }
    token_ids.insert(token_ids.end(), piece->begin(), piece->end());
    if (from_user) {
      system.clear();
    } else {
      token_ids.push_back(*eos);
    }
  }
  return token_ids;
}

}  // namespace tramontane
