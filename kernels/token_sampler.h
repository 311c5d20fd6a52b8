// The sampling of sample_tokens.h for one row in the host's memory.
#ifndef TRAMONTANE_KERNELS_TOKEN_SAMPLER_H_
#define TRAMONTANE_KERNELS_TOKEN_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sample_tokens.h"

namespace tramontane {

// A pure function of its arguments, with scratch memory that is reused from call to call. Not
// thread-safe.
class TokenSampler {
 public:
  explicit TokenSampler(int64_t vocab_size);

  // `logits` [at most vocab_size], finite, at least one.
  int32_t Sample(std::span<const float> logits, const TokenSampling& sampling);

  static int64_t ScratchBytes(int64_t vocab_size) {
    return vocab_size * static_cast<int64_t>(2 * sizeof(Candidate));
  }

 private:
  struct Candidate {
    uint64_t key = 0;  // LikelihoodKey
    uint64_t weight = 0;
    int32_t id = 0;
  };

  static bool Likelier(const Candidate& a, const Candidate& b) { return a.key > b.key; }

  uint64_t TotalWeight() const;  // of the candidates
  // Both leave the others in the order of their ids.
  void KeepTopK(int top_k);
  void KeepTopP(float top_p);
  // Of the candidate with which the likeliest ones reach so much weight.
  uint64_t KeyThatReaches(uint64_t wanted);
  int32_t Draw(uint64_t random) const;

  std::vector<Candidate> candidates_;  // at most [vocab_size]
  std::vector<Candidate> selection_;   // the same, in another order
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_TOKEN_SAMPLER_H_
