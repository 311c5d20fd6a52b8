#include "coordinator/utf8_assembler.h"

#include <cstdint>

namespace tramontane {
namespace {

struct LeadByte {
  size_t length = 0;  // of the character; 0: no character begins so
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
};

LeadByte DescribeLeadByte(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};  // a continuation byte, or an overlong form
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};  // not overlong
  if (byte == 0xED) return {3, 0x80, 0x9F};  // not a surrogate
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};  // not overlong
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};  // not past U+10FFFF
  return {0};
}

}  // namespace

Utf8Prefix ParseUtf8Prefix(std::string_view bytes) {
  const LeadByte lead = DescribeLeadByte(static_cast<uint8_t>(bytes[0]));
  if (lead.length == 0) return {Utf8Prefix::kInvalid, 1};
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Prefix::kIncomplete, i};
    const uint8_t byte = static_cast<uint8_t>(bytes[i]);
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte < min || byte > max) return {Utf8Prefix::kInvalid, i};
  }
  return {Utf8Prefix::kCharacter, lead.length};
}

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  Utf8Assembler assembler;
  std::string text = assembler.Feed(bytes);
  text += assembler.Finish();
  return text;
}

std::string Utf8Assembler::Feed(std::string_view bytes) {
  held_.append(bytes);
  std::string text;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const Utf8Prefix prefix = ParseUtf8Prefix(rest);
    if (prefix.kind == Utf8Prefix::kIncomplete) break;
    text.append(prefix.kind == Utf8Prefix::kCharacter ? rest.substr(0, prefix.length)
                                                      : kReplacementCharacter);
    rest.remove_prefix(prefix.length);
  }
  held_.erase(0, held_.size() - rest.size());
  return text;
}

std::string Utf8Assembler::Finish() {
  if (held_.empty()) return "";
  held_.clear();  // an incomplete character is one maximal subpart
  return std::string(kReplacementCharacter);
}

}  // namespace tramontane
