#include "kernels/rotary_angles.h"

#include <cmath>

#include "model/check.h"

namespace tramontane {

std::vector<float> InverseFrequencies(double rope_theta, int64_t head_dim) {
  TRAMONTANE_CHECK(head_dim > 0 && head_dim % 2 == 0);
  const float theta = static_cast<float>(rope_theta);
  std::vector<float> inverse_frequencies;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    inverse_frequencies.push_back(1.0f / std::pow(theta, exponent));
  }
  return inverse_frequencies;
}

void RotaryAngles(const std::vector<float>& inverse_frequencies, int64_t position, float* cosines,
                  float* sines) {
  for (size_t i = 0; i < inverse_frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * inverse_frequencies[i];
    cosines[i] = std::cos(angle);
    sines[i] = std::sin(angle);
  }
}

}  // namespace tramontane
