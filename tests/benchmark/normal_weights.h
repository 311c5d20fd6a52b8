// A fast stream of normally distributed bf16 numbers.
#ifndef TRAMONTANE_TESTS_BENCHMARK_NORMAL_WEIGHTS_H_
#define TRAMONTANE_TESTS_BENCHMARK_NORMAL_WEIGHTS_H_

#include <array>
#include <cstdint>
#include <span>

#include "model/dtype.h"

namespace tramontane {

// Draws from the 4,096 quantiles of a normal distribution, which is as fine as bf16 weights need
// and costs a table look-up a number. Not thread-safe: one for each tensor.
class NormalWeights {
 public:
  NormalWeights(float standard_deviation, uint64_t seed);

  void Fill(std::span<BFloat16> out);

 private:
  static constexpr int kIndexBits = 12;
  static constexpr int kNumQuantiles = 1 << kIndexBits;

  std::array<BFloat16, kNumQuantiles> quantiles_;
  uint64_t state_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_NORMAL_WEIGHTS_H_
