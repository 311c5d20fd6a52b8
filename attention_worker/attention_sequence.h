// What an attention worker remembers of a sequence between steps.
#ifndef TRAMONTANE_ATTENTION_WORKER_ATTENTION_SEQUENCE_H_
#define TRAMONTANE_ATTENTION_WORKER_ATTENTION_SEQUENCE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/kv_cache/page_table.h"

namespace tramontane {

// Changes only when a step has succeeded. Used by the step thread only.
class AttentionSequence {
 public:
  // `pool` outlives it.
  AttentionSequence(SequenceSpec spec, KvBlockPool* pool, int vocab_size);

  const SequenceSpec& spec() const { return spec_; }  // without token_ids
  const std::vector<int32_t>& page_table() const { return pages_.blocks(); }
  // Those that the prefix cache had at the beginning, and those of the chunks since.
  int tokens_run() const { return static_cast<int>(pages_.num_tokens()); }

  // Whether `chunk` may run next: INVALID_ARGUMENT for no tokens, an id outside the vocabulary, or
  // targets that do not fit; FAILED_PRECONDITION for another position than the next or one past
  // max_total_tokens.
  absl::Status CheckChunk(const SequenceChunk& chunk) const;

  // KV blocks for the chunk's positions; false, and unchanged, where too few are free.
  bool MakeRoom(const SequenceChunk& chunk);
  // The chunk's step has failed: its blocks are free again.
  void GiveBackRoom() { pages_.Trim(); }

  // The chunk's step has succeeded.
  void Advance(const SequenceChunk& chunk);

  // The ids among the tokens that have run and `chunk`, each once; empty without a repetition
  // penalty, which alone asks for them.
  std::vector<int32_t> SeenWith(const SequenceChunk& chunk) const;

 private:
  bool tracks_seen() const { return !seen_.empty(); }
  // Appends the ids that are not in `distinct` yet, as `seen` tells.
  static void AddDistinct(std::span<const int32_t> token_ids, std::vector<bool>& seen,
                          std::vector<int32_t>& distinct);

  SequenceSpec spec_;
  const int vocab_size_;
  PageTable pages_;
  std::vector<bool> seen_;         // [vocab_size], or empty without a repetition penalty
  std::vector<int32_t> distinct_;  // the ids that seen_ marks, in order of appearance
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ATTENTION_SEQUENCE_H_
