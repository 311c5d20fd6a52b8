#include "kernels/cpu/rotary_table.h"

#include <utility>

#include "kernels/rotary_angles.h"

namespace tramontane::cpu {
namespace {

constexpr int64_t kRowsPerTask = 16;

}  // namespace

void RotaryTable::Prepare(const RopeAndCacheArgs& args, ThreadPool* pool) {
  const auto num_tokens = static_cast<size_t>(args.num_tokens);
  std::vector<int64_t> positions(num_tokens, 0);
  sequence_of_row_.assign(num_tokens, 0);
  for (size_t s = 0; s < args.sequences.size(); ++s) {
    const SequenceRows& sequence = args.sequences[s];
    for (int64_t r = 0; r < sequence.num_rows; ++r) {
      const auto row = static_cast<size_t>(sequence.first_row + r);
      positions[row] = sequence.first_position + r;
      sequence_of_row_[row] = s;
    }
  }
  const bool same_model = rope_theta_ == args.rope_theta && head_dim_ == args.cache.head_dim;
  if (same_model && positions == positions_) return;
  if (!same_model) {
    rope_theta_ = args.rope_theta;
    head_dim_ = args.cache.head_dim;
    inverse_frequencies_ = InverseFrequencies(rope_theta_, head_dim_);
  }
  positions_ = std::move(positions);
  cosines_.resize(num_tokens * inverse_frequencies_.size());
  sines_.resize(cosines_.size());
  pool->ParallelFor(args.num_tokens, kRowsPerTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      RotaryAngles(inverse_frequencies_, position(row), cosines_.data() + row * half(),
                   sines_.data() + row * half());
    }
  });
}

}  // namespace tramontane::cpu
