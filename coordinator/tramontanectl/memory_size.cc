#include "coordinator/tramontanectl/memory_size.h"

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tramontane {
namespace {

struct Unit {
  const char* name;
  double bytes;
};
// The longer names first: "Gi" is no "G" of something.
constexpr Unit kUnits[] = {
    {"Ki", 1024.0}, {"Mi", 1048576.0}, {"Gi", 1073741824.0}, {"Ti", 1099511627776.0},
    {"k", 1e3},     {"K", 1e3},        {"M", 1e6},           {"G", 1e9},
    {"T", 1e12}};
constexpr double kMostBytes = 1125899906842624.0;  // 1 PiB

}  // namespace

absl::StatusOr<int64_t> ParseMemorySize(absl::string_view text, absl::string_view flag) {
  absl::string_view number = absl::StripSuffix(text, "B");
  double factor = 1;
  for (const Unit& unit : kUnits) {
    if (!absl::ConsumeSuffix(&number, unit.name)) continue;
    factor = unit.bytes;
    break;
  }
  double value = 0;
  const bool digits = number.find_first_not_of("0123456789.") == absl::string_view::npos;
  if (number.empty() || !digits || !absl::SimpleAtod(number, &value) || value * factor < 1 ||
      value * factor > kMostBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, "=", text,
                     ": expected a size of memory, such as 24GiB, 80GB or 512MiB, up to 1 PiB"));
  }
  return static_cast<int64_t>(value * factor);
}

std::string KubernetesQuantity(int64_t bytes) {
  int64_t count = bytes;
  const char* unit = "";
  for (const char* larger : {"Ki", "Mi", "Gi"}) {
    if (count % 1024 != 0) break;
    count /= 1024;
    unit = larger;
  }
  return absl::StrCat(count, unit);
}

}  // namespace tramontane
