#include "coordinator/generate/routing_view.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/generate/terminal_text.h"

namespace tramontane {
namespace {

// Colours of the 256-colour palette that can be told apart on dark and light ground; experts past
// the last begin again.
constexpr std::array<int, 16> kPalette = {33,  208, 34, 160, 135, 130, 205, 245,
                                          142, 37,  21, 167, 70,  97,  173, 31};

}  // namespace

RoutingView::RoutingView(int num_layers, int num_experts, int top_k, bool colors)
    : num_layers_(num_layers),
      top_k_(top_k),
      colors_(colors),
      tokens_led_(static_cast<size_t>(num_experts), 0) {}

std::string RoutingView::Painted(int expert, std::string_view text) const {
  const std::string safe = TerminalSafe(text);
  if (!colors_ || safe.empty()) return safe;
  const int color = kPalette[static_cast<size_t>(expert) % kPalette.size()];
  return absl::StrCat("\x1b[38;5;", color, "m", safe, "\x1b[0m");
}

std::string RoutingView::Add(const v1::GenerateResponse& message) {
  std::string text;
  for (const v1::TokenRouting& routing : message.routing()) {
    const int leading = (num_layers_ - 1) * top_k_;
    const int expert =
        leading < routing.expert_ids_size() ? static_cast<int>(routing.expert_ids(leading)) : -1;
    if (expert < 0 || static_cast<size_t>(expert) >= tokens_led_.size()) continue;
    ++tokens_led_[static_cast<size_t>(expert)];
    text += Painted(expert, std::exchange(pending_, ""));
  }
  if (message.token_ids().empty()) {
    text += TerminalSafe(pending_ + message.text());  // the prompt's echo, or the end
    pending_.clear();
  } else {
    pending_ += message.text();
  }
  return text;
}

std::string RoutingView::Finish() { return TerminalSafe(std::exchange(pending_, "")); }

std::string RoutingView::Legend() const {
  std::string legend = "leading expert of the last layer:";
  for (size_t expert = 0; expert < tokens_led_.size(); ++expert) {
    absl::StrAppend(&legend, "  ",
                    Painted(static_cast<int>(expert), absl::StrCat("expert ", expert)), " ",
                    tokens_led_[expert]);
  }
  return legend;
}

}  // namespace tramontane
