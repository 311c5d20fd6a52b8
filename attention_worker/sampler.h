// Chooses the next token from a row of logits.
#ifndef TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_
#define TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "attention_worker/sampling_params.h"

namespace tramontane {

// A pure function of its arguments, with scratch memory that is reused from call to call. Not
// thread-safe.
class Sampler {
 public:
  explicit Sampler(int vocab_size);

  // The token at `position` of a sequence. `logits` [vocab_size], finite. `seen_token_ids`: those
  // of prompt and completion, each once; only read with a repetition penalty. Equal logits: the
  // lower id is the likelier. The random number depends on seed and position alone, so the same
  // seed gives the same text in any batch and after recomputation.
  int32_t Sample(std::span<const float> logits, const SamplingParams& params,
                 std::span<const int32_t> seen_token_ids, int64_t position);

  static int64_t ScratchBytes(int vocab_size) {
    return int64_t{vocab_size} * static_cast<int64_t>(sizeof(float) + 2 * sizeof(Candidate));
  }

 private:
  struct Candidate {
    float logit = 0.0f;
    int32_t id = 0;
    double weight = 0.0;  // exp(logit / temperature - the greatest of these)
  };

  static bool Likelier(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  }

  // Repetition penalty and logit bias. Returns `logits` itself where neither applies.
  std::span<const float> Adjust(std::span<const float> logits, const SamplingParams& params,
                                std::span<const int32_t> seen_token_ids);
  void KeepTopK(int top_k);
  void Weigh(double greatest_logit, double temperature);
  void KeepTopP(float top_p);
  // The candidate with which the likeliest ones reach the share top_p of all weight.
  Candidate LastOfTopP(float top_p);
  void KeepMinP(float min_p);
  int32_t Draw(double uniform) const;

  std::vector<float> adjusted_;        // [vocab_size]
  std::vector<Candidate> candidates_;  // at most [vocab_size]
  std::vector<Candidate> selection_;   // the same, in another order
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_SAMPLER_H_
