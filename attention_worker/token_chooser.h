// From logits to tokens: what each row of a step is asked for.
#ifndef TRAMONTANE_ATTENTION_WORKER_TOKEN_CHOOSER_H_
#define TRAMONTANE_ATTENTION_WORKER_TOKEN_CHOOSER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/attention_sequence.h"
#include "attention_worker/sampler.h"
#include "attention_worker/token_batch.h"
#include "attention_worker/token_logprobs.h"
#include "kernels/sample_tokens.h"
#include "kernels/thread_pool.h"

namespace tramontane {

// Samples, and takes log-probabilities, of several rows at once. Used by the step thread only.
class TokenChooser {
 public:
  // `threads` outlives it; null: the caller's thread alone.
  TokenChooser(int vocab_size, ThreadPool* threads);

  // Adds to `result` what `rows` of the step are asked for. `logits` [rows.size(), vocab_size].
  // `sequences` are those of request.chunks. INTERNAL for logits that are not finite.
  absl::Status Choose(const StepRequest& request, std::span<AttentionSequence* const> sequences,
                      std::span<const LogitRow> rows, const float* logits, StepResult& result);

  // Whether every row asks for a token of its logits as they are and nothing else, so that token
  // ids will do.
  static bool AllPlain(std::span<AttentionSequence* const> sequences,
                       std::span<const LogitRow> rows);
  // How such rows' tokens are sampled; none: all are the greatest.
  static std::vector<TokenSampling> PlainSampling(const StepRequest& request,
                                                  std::span<AttentionSequence* const> sequences,
                                                  std::span<const LogitRow> rows);
  // Adds their tokens to `result`; -1 stands for logits that are not finite, and fails as above.
  static absl::Status TakeTokens(const StepRequest& request, std::span<const LogitRow> rows,
                                 const int32_t* token_ids, StepResult& result);

  // Of each thread, at most.
  static int64_t ScratchBytes(int vocab_size) {
    return Sampler::ScratchBytes(vocab_size) + TokenLogprobs::ScratchBytes(vocab_size);
  }

 private:
  // What one thread works with.
  struct Scratch {
    Sampler sampler;
    TokenLogprobs logprobs;
  };
  struct Choice {
    absl::Status status;
    std::optional<TokenLogprob> target;
    std::optional<TokenLogprob> sampled;
  };

  Choice ChooseForRow(const SequenceChunk& chunk, const AttentionSequence& sequence,
                      const LogitRow& row, std::span<const float> logits, Scratch& scratch) const;

  const int vocab_size_;
  ThreadPool* const threads_;
  std::vector<Scratch> scratch_;  // of each thread
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_TOKEN_CHOOSER_H_
