// Cosines and sines of a token batch's positions: computed in a step's first layer, used in all.
#ifndef TRAMONTANE_KERNELS_CPU_ROTARY_TABLE_H_
#define TRAMONTANE_KERNELS_CPU_ROTARY_TABLE_H_

#include <cstdint>
#include <vector>

#include "kernels/rope_and_cache.h"
#include "kernels/thread_pool.h"

namespace tramontane::cpu {

class RotaryTable {
 public:
  // Makes `cosines` and `sines` those of the batch; does nothing where they already are.
  void Prepare(const RopeAndCacheArgs& args, ThreadPool* pool);

  int64_t half() const { return static_cast<int64_t>(inverse_frequencies_.size()); }
  const float* cosines(int64_t row) const { return cosines_.data() + row * half(); }
  const float* sines(int64_t row) const { return sines_.data() + row * half(); }
  int64_t position(int64_t row) const { return positions_[static_cast<size_t>(row)]; }
  const SequenceRows& sequence(const RopeAndCacheArgs& args, int64_t row) const {
    return args.sequences[sequence_of_row_[static_cast<size_t>(row)]];
  }

 private:
  double rope_theta_ = 0;
  int64_t head_dim_ = 0;
  std::vector<float> inverse_frequencies_;  // [head_dim / 2]
  std::vector<int64_t> positions_;          // [num_tokens]
  std::vector<size_t> sequence_of_row_;     // [num_tokens]
  std::vector<float> cosines_, sines_;      // [num_tokens, head_dim / 2]
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ROTARY_TABLE_H_
