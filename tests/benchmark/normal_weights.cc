#include "tests/benchmark/normal_weights.h"

#include <cmath>
#include <cstddef>
#include <numbers>

namespace tramontane {
namespace {

// SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
uint64_t NextRandom(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// The x at which the standard normal distribution reaches `probability`, in (0, 1), by bisection.
double NormalQuantile(double probability) {
  double low = -8;
  double high = 8;
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    const double reached = 0.5 * std::erfc(-middle / std::numbers::sqrt2);
    (reached < probability ? low : high) = middle;
  }
  return low;
}

}  // namespace

NormalWeights::NormalWeights(float standard_deviation, uint64_t seed) : state_(seed) {
  for (int i = 0; i < kNumQuantiles; ++i) {
    const double quantile = NormalQuantile((i + 0.5) / kNumQuantiles);
    quantiles_[i] = ToBFloat16(static_cast<float>(standard_deviation * quantile));
  }
}

void NormalWeights::Fill(std::span<BFloat16> out) {
  constexpr int kDrawsPerRandom = 64 / kIndexBits;
  for (size_t i = 0; i < out.size(); i += kDrawsPerRandom) {
    uint64_t random = NextRandom(state_);
    for (size_t j = i; j < i + kDrawsPerRandom && j < out.size(); ++j) {
      out[j] = quantiles_[random & (kNumQuantiles - 1)];
      random >>= kIndexBits;
    }
  }
}

}  // namespace tramontane
