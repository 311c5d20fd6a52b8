// How likely tokens are, in integers: sums of them are the same in any order, so that a device that
// adds in parallel chooses the tokens that the host does.
#ifndef TRAMONTANE_KERNELS_SAMPLING_WEIGHT_H_
#define TRAMONTANE_KERNELS_SAMPLING_WEIGHT_H_

#include <bit>
#include <cstdint>

namespace tramontane {

// Greater for what is likelier: a greater logit, or the lower id of equals. Logits are finite; keys
// are above 0.
constexpr uint64_t LikelihoodKey(float logit, int32_t id) {
  const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);  // -0 becomes 0
  const uint32_t ordered = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | ~static_cast<uint32_t>(id);
}

// The greatest weight there is. Of fewer than 2^23 tokens a sum fits.
inline constexpr uint64_t kWeightOfGreatest = uint64_t{1} << 40;

// exp((logit - greatest) / temperature) in units of 1 / kWeightOfGreatest, to about 2^-22 of the
// exponential of the float32 quotient and rounded down: 0 below a unit. `temperature` is above 0.
// Without fused operations, which the library is compiled without, the same integer everywhere. The
// polynomial is that of expf in Moshier's Cephes library.
constexpr uint64_t SamplingWeight(float logit, float greatest, float temperature) {
  const float x = (logit - greatest) / temperature;
  if (!(x > -28.0f)) return 0;
  const int exponent = static_cast<int>(x * 1.44269504f - 0.5f);  // to nearest, as x is not above 0
  const auto n = static_cast<float>(exponent);
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  return static_cast<uint64_t>(y * 1073741824.0f) << 10 >> -exponent;
}

// What top-p asks for of all weight: at least the likeliest token.
constexpr uint64_t TopPWeight(uint64_t total, float top_p) {
  const auto wanted =
      static_cast<uint64_t>(static_cast<double>(total) * static_cast<double>(top_p));
  return wanted > 0 ? wanted : 1;
}

// The least weight that min-p keeps.
constexpr uint64_t MinPWeight(float min_p) {
  return static_cast<uint64_t>(static_cast<double>(min_p) * static_cast<double>(kWeightOfGreatest));
}

// Which unit of all weight is drawn, from 53 random bits: floor(random * total / 2^53), by halves
// of `random`, as products of 64 bits are all that every device has. total < 2^63.
constexpr uint64_t DrawnUnit(uint64_t total, uint64_t random) {
  const uint64_t total_high = total >> 32, total_low = total & 0xffffffffu;
  const uint64_t random_high = random >> 32, random_low = random & 0xffffffffu;
  const uint64_t low = total_low * random_low;
  const uint64_t middle = total_high * random_low + (low >> 32);
  const uint64_t middle_too = total_low * random_high + (middle & 0xffffffffu);
  const uint64_t high = total_high * random_high + (middle >> 32) + (middle_too >> 32);
  return high << 11 | (middle_too & 0xffffffffu) >> 21;
}

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_SAMPLING_WEIGHT_H_
