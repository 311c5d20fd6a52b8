// One generation while it runs.
#ifndef TRAMONTANE_COORDINATOR_SEQUENCE_H_
#define TRAMONTANE_COORDINATOR_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "coordinator/detokenizer.h"
#include "coordinator/generation_request.h"
#include "coordinator/stop_strings.h"
#include "coordinator/token_stream.h"

namespace tramontane {

// From a plan to chunks for the attention worker, and from their results to outputs for the client.
// Belongs to the step thread once it is admitted.
class Sequence {
 public:
  // `tokenizer` may be null and outlives the sequence.
  Sequence(SequenceId id, GenerationPlan plan, const Tokenizer* tokenizer,
           std::shared_ptr<TokenStream> stream, absl::Time arrival, absl::Time deadline);

  SequenceId id() const { return id_; }
  SequenceSpec Spec() const;
  TokenStream& stream() const { return *stream_; }
  absl::Time arrival() const { return arrival_; }
  absl::Time deadline() const { return deadline_; }
  int prompt_tokens() const { return static_cast<int>(plan_.prompt_token_ids.size()); }
  int completion_tokens() const { return completion_tokens_; }

  // Part of the prompt is still to be run.
  bool prefilling() const { return rows_run_ < prompt_tokens(); }
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

 private:
  bool wants_prompt_tokens() const { return plan_.echo || plan_.prompt_logprobs || plan_.routing; }
  void StreamPrompt(const SequenceChunk& chunk, ChunkResult& result);
  void TakeToken(const TokenLogprob& sampled, absl::Time now, GenerationOutput& output);
  void Finish(FinishReason reason, absl::Time now, GenerationOutput& output);

  const SequenceId id_;
  const GenerationPlan plan_;
  const std::shared_ptr<TokenStream> stream_;
  const absl::Time arrival_;
  const absl::Time deadline_;

  Detokenizer detokenizer_;
  StopStrings stop_strings_;
  TokenLogprob next_prompt_logprob_;  // of the first prompt token that is still to be run
  int rows_run_ = 0;                  // tokens that have gone through the model
  int32_t last_token_id_ = 0;         // sampled, to be run next
  int completion_tokens_ = 0;
  bool finished_ = false;
  std::optional<absl::Time> started_;
  std::optional<absl::Time> first_token_time_;
  std::optional<absl::Time> last_token_time_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_SEQUENCE_H_
