// The angles of rotary position embedding, as Hugging Face computes them.
#ifndef TRAMONTANE_KERNELS_ROTARY_ANGLES_H_
#define TRAMONTANE_KERNELS_ROTARY_ANGLES_H_

#include <cstdint>
#include <vector>

namespace tramontane {

// 1 / theta^(2i / head_dim) for i in [0, head_dim / 2), each step in float32.
std::vector<float> InverseFrequencies(double rope_theta, int64_t head_dim);

// cosines[i], sines[i] of float32(position) * inverse_frequencies[i], in float32.
void RotaryAngles(const std::vector<float>& inverse_frequencies, int64_t position, float* cosines,
                  float* sines);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ROTARY_ANGLES_H_
