#include "coordinator/detokenizer.h"

#include <algorithm>
#include <vector>

namespace tramontane {
namespace {

bool HasText(const Tokenizer& tokenizer, int32_t token_id) {
  return token_id >= 0 && token_id < tokenizer.num_pieces() && !tokenizer.IsControl(token_id);
}

std::vector<int> TextPieces(const Tokenizer& tokenizer, std::span<const int32_t> token_ids) {
  std::vector<int> pieces;
  pieces.reserve(token_ids.size());
  for (const int32_t id : token_ids) {
    if (HasText(tokenizer, id)) pieces.push_back(id);
  }
  return pieces;
}

// Length of the incomplete character that `bytes` end with; 0 where they end with a whole one.
size_t IncompleteTailLength(std::string_view bytes) {
  for (size_t length = 1; length <= std::min<size_t>(3, bytes.size()); ++length) {
    const Utf8Prefix prefix = ParseUtf8Prefix(bytes.substr(bytes.size() - length));
    if (prefix.kind == Utf8Prefix::kIncomplete) return length;
    if (prefix.kind == Utf8Prefix::kCharacter) return 0;
  }
  return 0;
}

}  // namespace

std::string DecodeText(const Tokenizer& tokenizer, std::span<const int32_t> token_ids) {
  return ReplaceInvalidUtf8(tokenizer.Decode(TextPieces(tokenizer, token_ids)));
}

Detokenizer::Detokenizer(const Tokenizer* tokenizer, std::span<const int32_t> prompt_token_ids,
                         bool echo)
    : tokenizer_(tokenizer), echo_(echo) {
  if (tokenizer_ == nullptr) return;
  const std::vector<int> pieces = TextPieces(*tokenizer_, prompt_token_ids);
  const std::string bytes = tokenizer_->Decode(pieces);
  text_began_ = !bytes.empty();
  if (!text_began_)
    swallowed_.assign(pieces.begin(), pieces.begin() + std::min<ptrdiff_t>(2, std::ssize(pieces)));
  if (echo_) {
    prompt_text_ = assembler_.Feed(bytes);
  } else {
    prompt_tail_ = bytes.substr(bytes.size() - IncompleteTailLength(bytes));
  }
}

std::string Detokenizer::Feed(int32_t token_id) {
  if (tokenizer_ == nullptr || !HasText(*tokenizer_, token_id)) return "";
  std::string bytes;
  if (text_began_) {
    bytes = tokenizer_->PieceBytes(token_id);
  } else {
    swallowed_.push_back(token_id);
    bytes = tokenizer_->Decode(swallowed_);
    text_began_ = !bytes.empty();
    if (swallowed_.size() > 2) swallowed_.pop_back();
  }
  if (bytes.empty()) return "";
  if (!prompt_tail_.empty()) {
    // The tail belongs to this text only if the completion goes on with it.
    const Utf8Prefix joined = ParseUtf8Prefix(prompt_tail_ + bytes);
    if (joined.kind != Utf8Prefix::kInvalid) bytes.insert(0, prompt_tail_);
    prompt_tail_.clear();
  }
  return assembler_.Feed(bytes);
}

std::string Detokenizer::Finish() { return assembler_.Finish(); }

}  // namespace tramontane
