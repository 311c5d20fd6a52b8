// Text for a terminal.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_TERMINAL_TEXT_H_
#define TRAMONTANE_COORDINATOR_GENERATE_TERMINAL_TEXT_H_

#include <string>
#include <string_view>

#include "proto/inference.pb.h"

namespace tramontane {

// `text` (UTF-8) without what a terminal would obey: control characters other than newline and tab
// become U+FFFD, so that a model cannot move the cursor or write the clipboard.
std::string TerminalSafe(std::string_view text);

// The closing line: "24 tokens (length), first after 12.3 ms, 345.6 tokens/s, seed 7".
std::string ClosingLine(const v1::GenerateResponse& last);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_TERMINAL_TEXT_H_
