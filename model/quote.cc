#include "model/quote.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr size_t kMaxBytes = 200;
constexpr size_t kMaxDimensions = 16;

}  // namespace

std::string Quote(std::string_view text) {
  const std::string_view shown = text.substr(0, kMaxBytes);
  return absl::StrCat("\"", absl::CHexEscape(absl::string_view(shown.data(), shown.size())),
                      shown.size() < text.size() ? "…\"" : "\"");
}

std::string ShapeToString(const std::vector<int64_t>& shape) {
  std::string result = "[";
  for (size_t i = 0; i < shape.size() && i < kMaxDimensions; ++i) {
    absl::StrAppend(&result, i == 0 ? "" : ", ", shape[i]);
  }
  return result + (shape.size() > kMaxDimensions ? ", …]" : "]");
}

}  // namespace tramontane
