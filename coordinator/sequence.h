// One completion of a request while it runs.
#ifndef TRAMONTANE_COORDINATOR_SEQUENCE_H_
#define TRAMONTANE_COORDINATOR_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "coordinator/detokenizer.h"
#include "coordinator/generation_request.h"
#include "coordinator/stop_strings.h"
#include "coordinator/token_stream.h"

namespace tramontane {

// Who runs before whom: the lesser one. The priority, negated, then the order of arrival.
using Precedence = std::pair<int, SequenceId>;

// From a plan to chunks for the attention worker, and from their results to outputs for the client.
// Belongs to the step thread once it is admitted.
class Sequence {
 public:
  // `tokenizer` may be null and outlives the sequence.
  Sequence(SequenceId id, GenerationPlan plan, const Tokenizer* tokenizer,
           std::shared_ptr<TokenStream> stream, absl::Time arrival, absl::Time deadline);

  // The completions of a request have ids that follow each other.
  SequenceId id() const { return id_; }
  SequenceId first_id() const { return id_ - static_cast<SequenceId>(plan_.completion_index); }
  int num_completions() const { return plan_.num_completions; }
  Precedence precedence() const { return {-plan_.priority, id_}; }
  int priority() const { return plan_.priority; }
  // As the attention worker must know it now: after a preemption, with what was sampled until then.
  SequenceSpec Spec() const;
  TokenStream& stream() const { return *stream_; }
  absl::Time arrival() const { return arrival_; }
  absl::Time deadline() const { return deadline_; }
  int prompt_tokens() const { return prompt_tokens_; }
  int completion_tokens() const { return num_tokens() - prompt_tokens_; }
  // Known ones: the prompt, and what was sampled.
  const std::vector<int32_t>& token_ids() const { return token_ids_; }
  int num_tokens() const { return static_cast<int>(token_ids_.size()); }
  // Of these, how many have gone through the model and are in the KV cache.
  int rows_run() const { return rows_run_; }

  // Of the prompt, so many tokens can be had from the prefix cache: whole blocks, and not the last
  // token, whose row yields the next one.
  int shareable_prompt_tokens(int block_size) const {
    return (prompt_tokens_ - 1) / block_size * block_size;
  }

  // More is to be run than the token that was sampled last: a prompt, or what a preemption threw
  // away.
  bool prefilling() const { return rows_run_ < prompt_tokens_ || rows_run_ + 1 < num_tokens(); }
  // An attention worker has taken the sequence, and has `cached` of its tokens in its KV cache.
  void OnAdmitted(int cached);
  // The attention worker has let it go. What it had run is to be run again; nothing of it is
  // streamed twice.
  void OnPreempted() { rows_run_ = 0; }
  // Likewise, because the attention worker itself was lost.
  void OnLost(absl::Time now) {
    rows_run_ = 0;
    num_losses_ = num_tokens() > tokens_at_loss_ ? 1 : num_losses_ + 1;
    tokens_at_loss_ = num_tokens();
    lost_since_ = now;
  }
  // In succession, without a new token in between.
  int num_losses() const { return num_losses_; }
  // Since when it waits for an attention worker after a loss.
  std::optional<absl::Time> lost_since() const { return lost_since_; }
  // Another completion of its request has begun to run the prompt on this attention worker: it does
  // not wait for a beginning any more, but for a place there.
  void JoinWorker(int worker) {
    worker_ = worker;
    lost_since_.reset();
    stalled_since.reset();
  }
  // The attention worker that has its prompt; none before JoinWorker.
  std::optional<int> worker() const { return worker_; }
  // The next tokens to run, at most `max_rows` (at least 1).
  SequenceChunk NextChunk(int max_rows) const;
  // The sequence enters a step; the first time ends its wait.
  void MarkStarted(absl::Time now);
  // Takes the result of the chunk that NextChunk gave and streams what it yields; the stream's end
  // is the caller's to say. INTERNAL where the result does not fit the chunk.
  absl::Status Consume(const SequenceChunk& chunk, ChunkResult result, absl::Time now);
  bool finished() const { return finished_; }

  std::optional<absl::Time> started() const { return started_; }
  std::optional<absl::Time> first_token_time() const { return first_token_time_; }
  std::optional<absl::Time> last_token_time() const { return last_token_time_; }

  // Since when the stream has been full without a break; maintained by the scheduler.
  std::optional<absl::Time> stalled_since;
  // Since when it waits again; maintained by admission.
  absl::Time waiting_since = absl::InfinitePast();
  // One of a higher priority took its place in the full waiting queue; maintained by admission.
  bool displaced = false;
  // Other completions of its request that are to join when it has run the prompt; maintained by
  // admission and step loops.
  std::vector<std::unique_ptr<Sequence>> siblings;

 private:
  bool tells_of_prompt() const { return plan_.completion_index == 0; }
  bool wants_prompt_tokens() const {
    return tells_of_prompt() && (plan_.echo || plan_.prompt_logprobs || plan_.routing_choices > 0);
  }
  // The first known token whose row must run because the client gets its details.
  int FirstWantedRow() const;
  void Stream(GenerationOutput output);
  // Streams what is known of the prompt's rows up to `end` and was not streamed before.
  void StreamPrompt(const SequenceChunk& chunk, int end, ChunkResult& result);
  void TakeToken(const TokenLogprob& sampled, absl::Time now, GenerationOutput& output);
  void Finish(FinishReason reason, absl::Time now, GenerationOutput& output);

  const SequenceId id_;
  const std::shared_ptr<TokenStream> stream_;
  const absl::Time arrival_;
  const absl::Time deadline_;
  std::vector<int32_t> token_ids_;
  const int prompt_tokens_;
  const GenerationPlan plan_;  // without its prompt, which is in token_ids_

  Detokenizer detokenizer_;
  StopStrings stop_strings_;
  TokenLogprob next_prompt_logprob_;  // of the first prompt token that is still to be streamed
  int rows_run_ = 0;
  int num_losses_ = 0;
  int tokens_at_loss_ = 0;  // num_tokens() at the last one
  std::optional<absl::Time> lost_since_;
  std::optional<int> worker_;
  int rows_streamed_ = 0;             // whose details the client has, where it wants them
  std::optional<int> cached_tokens_;  // of the prompt, when it was first admitted
  bool finished_ = false;
  std::optional<absl::Time> started_;
  std::optional<absl::Time> first_token_time_;
  std::optional<absl::Time> last_token_time_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SEQUENCE_H_
