#include "expert_worker/expert_set.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tramontane {
namespace {

// Ends included.
struct Range {
  int first = 0;
  int last = 0;
};

// Digits only: no sign, no space.
std::optional<int> ParseId(absl::string_view text) {
  int value = 0;
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || !absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

// `what` is "layer" or "expert"; `count` is how many there are.
absl::StatusOr<Range> ParseRange(absl::string_view text, absl::string_view part,
                                 absl::string_view what, int count) {
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  const std::optional<int> first = ParseId(ends.front());
  const std::optional<int> last = ParseId(ends.back());
  if (ends.size() > 2 || !first || !last) {
    return absl::InvalidArgumentError(
        absl::StrCat("--experts: part \"", part, "\": \"", text, "\" is no ", what, " id N and no ",
                     "range N-N; write, for example, 0-3 or 0-15:0-3,16-31:4-7"));
  }
  if (*last < *first) {
    return absl::InvalidArgumentError(absl::StrCat("--experts: part \"", part, "\": the ", what,
                                                   " range ", text, " ends before it begins"));
  }
  if (*last >= count) {
    return absl::InvalidArgumentError(absl::StrCat("--experts: part \"", part, "\": ", what, " ",
                                                   *last, " is out of range; the checkpoint has ",
                                                   what, "s 0 to ", count - 1));
  }
  return Range{*first, *last};
}

}  // namespace

ExpertSet::ExpertSet(int num_layers, int num_experts)
    : num_layers_(num_layers),
      num_experts_(num_experts),
      hosted_(static_cast<size_t>(num_layers) * static_cast<size_t>(num_experts)) {}

absl::StatusOr<ExpertSet> ExpertSet::Parse(std::string_view spec, int num_layers, int num_experts) {
  ExpertSet set(num_layers, num_experts);
  if (spec == "all") {
    set.hosted_.assign(set.hosted_.size(), true);
    return set;
  }
  const absl::string_view text(spec.data(), spec.size());
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    Range layers{0, num_layers - 1};
    absl::string_view experts_text = part;
    const size_t colon = part.find(':');
    if (colon != absl::string_view::npos) {
      absl::StatusOr<Range> parsed = ParseRange(part.substr(0, colon), part, "layer", num_layers);
      if (!parsed.ok()) return parsed.status();
      layers = *parsed;
      experts_text = part.substr(colon + 1);
    }
    absl::StatusOr<Range> experts = ParseRange(experts_text, part, "expert", num_experts);
    if (!experts.ok()) return experts.status();
    for (int layer = layers.first; layer <= layers.last; ++layer) {
      for (int expert = experts->first; expert <= experts->last; ++expert) {
        auto hosted = set.hosted_[static_cast<size_t>(layer) * num_experts + expert];
        if (hosted) {
          return absl::InvalidArgumentError(
              absl::StrCat("--experts: part \"", part, "\" names expert ", expert, " of layer ",
                           layer, " a second time; name each expert once"));
        }
        hosted = true;
      }
    }
  }
  return set;
}

bool ExpertSet::Contains(int layer, int expert) const {
  return layer >= 0 && layer < num_layers_ && expert >= 0 && expert < num_experts_ &&
         hosted_[static_cast<size_t>(layer) * num_experts_ + expert];
}

int ExpertSet::size() const {
  return static_cast<int>(std::count(hosted_.begin(), hosted_.end(), true));
}

std::vector<std::pair<int, int>> ExpertSet::Members() const {
  std::vector<std::pair<int, int>> members;
  for (int layer = 0; layer < num_layers_; ++layer) {
    for (int expert = 0; expert < num_experts_; ++expert) {
      if (Contains(layer, expert)) members.emplace_back(layer, expert);
    }
  }
  return members;
}

}  // namespace tramontane
