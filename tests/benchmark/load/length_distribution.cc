#include "tests/benchmark/load/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tramontane {
namespace {

bool ParseLength(absl::string_view text, int& length) {
  return absl::SimpleAtoi(text, &length) && length >= 1 && length <= kMaxLength;
}

bool ParseSigma(absl::string_view text, double& sigma) {
  return absl::SimpleAtod(text, &sigma) && sigma > 0 && sigma <= 10;
}

}  // namespace

LengthDistribution LengthDistribution::Constant(int length) {
  LengthDistribution distribution;
  distribution.low_ = distribution.high_ = std::clamp(length, 1, kMaxLength);
  return distribution;
}

absl::StatusOr<LengthDistribution> LengthDistribution::Parse(std::string_view text) {
  const absl::string_view given(text.data(), text.size());
  const std::vector<std::string> parts = absl::StrSplit(given, ':');
  LengthDistribution distribution;
  bool valid = false;
  if (parts[0] == "constant" && parts.size() == 2) {
    valid = ParseLength(parts[1], distribution.low_);
    distribution.high_ = distribution.low_;
  } else if (parts[0] == "uniform" && parts.size() == 3) {
    distribution.kind_ = Kind::kUniform;
    valid = ParseLength(parts[1], distribution.low_) && ParseLength(parts[2], distribution.high_) &&
            distribution.low_ <= distribution.high_;
  } else if (parts[0] == "lognormal" && (parts.size() == 3 || parts.size() == 4)) {
    distribution.kind_ = Kind::kLognormal;
    distribution.high_ = 0;
    valid = ParseLength(parts[1], distribution.low_) && ParseSigma(parts[2], distribution.sigma_) &&
            (parts.size() == 3 || ParseLength(parts[3], distribution.high_));
  }
  if (valid) return distribution;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", given,
                   "\" is no distribution of lengths; expected constant:N, uniform:A:B with A <= B "
                   "or lognormal:MEDIAN:SIGMA[:MAX], lengths from 1 to ",
                   kMaxLength, " tokens and SIGMA above 0, at most 10"));
}

int LengthDistribution::Draw(std::mt19937_64& random) const {
  switch (kind_) {
    case Kind::kConstant:
      return low_;
    case Kind::kUniform:
      return std::uniform_int_distribution<int>(low_, high_)(random);
    case Kind::kLognormal:
      break;
  }
  const double drawn = std::lognormal_distribution<double>(std::log(low_), sigma_)(random);
  const double most = high_ > 0 ? high_ : kMaxLength;
  return static_cast<int>(std::lround(std::clamp(drawn, 1.0, most)));
}

std::optional<int> LengthDistribution::longest() const {
  if (high_ == 0) return std::nullopt;
  return high_;
}

std::string LengthDistribution::ToString() const {
  switch (kind_) {
    case Kind::kConstant:
      return absl::StrCat("constant:", low_);
    case Kind::kUniform:
      return absl::StrCat("uniform:", low_, ":", high_);
    case Kind::kLognormal:
      break;
  }
  const std::string limit = high_ > 0 ? absl::StrCat(":", high_) : "";
  return absl::StrCat("lognormal:", low_, ":", sigma_, limit);
}

}  // namespace tramontane
