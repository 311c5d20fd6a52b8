// How long prompts and outputs are.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LENGTH_DISTRIBUTION_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LENGTH_DISTRIBUTION_H_

#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tramontane {

// The longest length that a distribution may be told, in tokens.
inline constexpr int kMaxLength = 1 << 20;

// A distribution of lengths in tokens, all at least 1. Immutable.
class LengthDistribution {
 public:
  static LengthDistribution Constant(int length);

  // One of
  //   constant:N                    N tokens
  //   uniform:A:B                   A to B tokens, both included
  //   lognormal:MEDIAN:SIGMA[:MAX]  exp(normal(ln MEDIAN, SIGMA)), rounded; longer ones cut to MAX
  // with whole lengths of 1 to kMaxLength and SIGMA in (0, 10]. INVALID_ARGUMENT otherwise, saying
  // what was found and what was expected.
  static absl::StatusOr<LengthDistribution> Parse(std::string_view text);

  int Draw(std::mt19937_64& random) const;

  // The longest length that was told; nothing for a lognormal without MAX, which Draw cuts to
  // kMaxLength.
  std::optional<int> longest() const;
  // As Parse reads it.
  std::string ToString() const;

 private:
  enum class Kind { kConstant, kUniform, kLognormal };

  Kind kind_ = Kind::kConstant;
  int low_ = 1;       // the constant, the least, the median
  int high_ = 1;      // the constant, the most, MAX (0: not told)
  double sigma_ = 0;  // of the natural logarithm
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LENGTH_DISTRIBUTION_H_
