#include "coordinator/generate/terminal_text.h"

#include <cstdint>

#include "absl/strings/str_format.h"

namespace tramontane {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

const char* ReasonName(v1::FinishReason reason) {
  return reason == v1::FINISH_REASON_LENGTH ? "length" : "stop";
}

}  // namespace

std::string TerminalSafe(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
    // U+0080 to U+009F are controls too: C2 80 to C2 9F.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<uint8_t>(text[i + 1]) < 0xA0;
    if (c0 || c1) {
      safe += kReplacement;
      if (c1) ++i;
    } else {
      safe += text[i];
    }
  }
  return safe;
}

std::string ClosingLine(const v1::GenerateResponse& last) {
  const uint32_t tokens = last.usage().completion_tokens();
  const double total_ms = last.timings().total_ms();
  if (tokens == 0) {
    const uint32_t prompt_tokens = last.usage().prompt_tokens();
    return absl::StrFormat("%u prompt tokens in %.1f ms, %.1f tokens/s", prompt_tokens, total_ms,
                           total_ms > 0 ? 1000.0 * prompt_tokens / total_ms : 0.0);
  }
  const double first_ms = last.timings().time_to_first_token_ms();
  // The rate after the first token; a single token has only the whole time.
  const double counted = tokens > 1 ? tokens - 1 : 1;
  const double taken_ms = tokens > 1 ? total_ms - first_ms : total_ms;
  return absl::StrFormat("%u tokens (%s), first after %.1f ms, %.1f tokens/s, seed %u", tokens,
                         ReasonName(last.finish_reason()), first_ms,
                         taken_ms > 0 ? 1000.0 * counted / taken_ms : 0.0, last.seed());
}

}  // namespace tramontane
