#include "coordinator/prompt_encoding.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/utf8.h"

namespace tramontane {
namespace {

// SentencePiece's longest piece is 16 characters by default, of at most 4 bytes each; models with
// longer ones are rare, and twice that leaves them room.
constexpr int kMostBytesPerToken = 128;

// It keeps a text of many megabytes, for each byte of which SentencePiece takes 170, from being
// tokenized only to be refused.
int64_t MaxTextBytes(const ServedModel& model) {
  int bytes_per_token = kMostBytesPerToken;
  if (model.tokenizer != nullptr && !model.tokenizer->joins_spaces()) {
    bytes_per_token = std::min(bytes_per_token, model.tokenizer->max_piece_bytes());
  }
  return int64_t{bytes_per_token} * model.context_length();
}

absl::Status CheckSize(const ServedModel& model, std::string_view field, size_t num_bytes) {
  const int64_t limit = MaxTextBytes(model);
  if (static_cast<int64_t>(num_bytes) <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      std::string(field), " has ", num_bytes, " bytes; expected at most ", limit,
      ", which already exceeds the model's context of ", model.context_length(), " tokens"));
}

absl::Status CheckText(const ServedModel& model, std::string_view field, std::string_view text) {
  const absl::Status size = CheckSize(model, field, text.size());
  if (!size.ok()) return size;
  const size_t valid = ValidUtf8Prefix(text);
  if (valid < text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(field), " is not valid UTF-8: byte ", valid, " is 0x",
                     absl::Hex(static_cast<unsigned char>(text[valid]), absl::kZeroPad2)));
  }
  return absl::OkStatus();
}

}  // namespace

int MaxApiMessageBytes(const ServedModel& model) {
  constexpr int64_t kLeast = int64_t{4} << 20, kBesideText = int64_t{1} << 20;
  const int64_t bytes = MaxTextBytes(model) + kBesideText;
  return static_cast<int>(std::clamp<int64_t>(bytes, kLeast, std::numeric_limits<int>::max()));
}

absl::Status CheckHasTokenizer(const ServedModel& model, std::string_view field) {
  if (model.tokenizer != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(std::string(field), " needs a tokenizer, and the checkpoint of ", model.name,
                   " has none (no tokenizer.model); use prompt_token_ids and stop_token_ids"));
}

absl::Status CheckTokenId(const ServedModel& model, std::string_view field, uint32_t token_id) {
  if (token_id < static_cast<uint32_t>(model.config.vocab_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(field), " has the token id ", token_id,
                                                 "; expected less than ", model.config.vocab_size,
                                                 ", the model's vocabulary"));
}

absl::StatusOr<std::vector<int32_t>> CheckTokenIds(const ServedModel& model, std::string_view field,
                                                   std::span<const uint32_t> token_ids) {
  std::vector<int32_t> result;
  result.reserve(token_ids.size());
  for (const uint32_t id : token_ids) {
    const absl::Status status = CheckTokenId(model, field, id);
    if (!status.ok()) return status;
    result.push_back(static_cast<int32_t>(id));
  }
  return result;
}

absl::StatusOr<std::vector<int32_t>> EncodeText(const ServedModel& model, std::string_view field,
                                                std::string_view text, bool with_bos) {
  absl::Status status = CheckHasTokenizer(model, field);
  if (!status.ok()) return status;
  status = CheckText(model, field, text);
  if (!status.ok()) return status;
  const absl::StatusOr<std::vector<int>> encoded = model.tokenizer->Encode(text);
  if (!encoded.ok()) {
    return absl::Status(encoded.status().code(),
                        absl::StrCat(std::string(field), ": ", encoded.status().message()));
  }
  std::vector<int32_t> token_ids;
  token_ids.reserve(encoded->size() + 1);
  if (with_bos && model.bos_token_id().has_value()) token_ids.push_back(*model.bos_token_id());
  token_ids.insert(token_ids.end(), encoded->begin(), encoded->end());
  return token_ids;
}

absl::StatusOr<std::vector<int32_t>> EncodeMessages(const ServedModel& model,
                                                    std::span<const ChatMessage> messages) {
  absl::Status status = CheckHasTokenizer(model, "messages");
  if (!status.ok()) return status;
  size_t num_bytes = 0;  // of all together
  for (size_t i = 0; i < messages.size(); ++i) {
    status = CheckText(model, absl::StrCat("messages[", i, "].content"), messages[i].content);
    if (!status.ok()) return status;
    num_bytes += messages[i].content.size();
  }
  status = CheckSize(model, "messages", num_bytes);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<int>> encoded = EncodeChat(*model.tokenizer, messages);
  if (!encoded.ok()) {
    return absl::Status(encoded.status().code(),
                        absl::StrCat("messages: ", encoded.status().message()));
  }
  return std::vector<int32_t>(encoded->begin(), encoded->end());
}

}  // namespace tramontane
