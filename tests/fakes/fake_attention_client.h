// An attention worker without a model: the next token is a function of the tokens before it and of
// the seed.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_ATTENTION_CLIENT_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_ATTENTION_CLIENT_H_

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/kv_cache/kv_block_pool.h"
#include "attention_worker/kv_cache/page_table.h"

namespace tramontane {

struct FakeAttentionOptions {
  int vocab_size = 256;
  int64_t num_blocks = 64;
  int block_size = 16;  // tokens
  int num_layers = 2;   // of the routing that it makes up
  int top_k = 2;
};

// Holds to AttentionClient's contract: it checks positions, limits and ids, a failed step advances
// nothing, and KV blocks and the prefix cache are the real ones. Thread-safe.
class FakeAttentionClient : public AttentionClient {
 public:
  // The token after `token_ids`, all of a sequence so far.
  using NextToken = std::function<int32_t(std::span<const int32_t> token_ids)>;

  explicit FakeAttentionClient(const FakeAttentionOptions& options = {});

  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override;
  absl::StatusOr<StepResult> Step(const StepRequest& request) override;
  void ReleaseSequence(SequenceId id) override;
  KvCacheUsage kv_cache_usage() const override;
  absl::Status readiness() const override;
  uint64_t incarnation() const override;

  // The default: DefaultNextToken.
  void set_next_token(NextToken next_token);
  // The next Step returns `status`; several calls, several steps.
  void FailNextStep(absl::Status status);
  // Called at the beginning of every Step, without a lock held: a test may block it or look.
  void set_on_step(std::function<void(const StepRequest&)> on_step);

  void set_readiness(absl::Status status);
  // As a restart: all sequences are gone, and the prefix cache with them.
  void LoseEverything();

  std::vector<StepRequest> steps() const;  // those that succeeded
  size_t num_sequences() const;

  // Depends on the last token and on how many there are; never 0, 1 or 2, the control tokens.
  static int32_t DefaultNextToken(std::span<const int32_t> token_ids, int vocab_size);

 private:
  struct FakeSequence {
    FakeSequence(const SequenceSpec& sequence_spec, KvBlockPool* pool);

    const SequenceSpec spec;
    PageTable pages;
    std::vector<int32_t> token_ids;  // that have run, or were cached
  };

  absl::Status CheckStep(const StepRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes KV blocks, then fails where it is to.
  absl::Status BeginStep(const StepRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ChunkResult Run(FakeSequence& sequence, const SequenceChunk& chunk)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  TokenLogprob Logprob(int32_t token_id, int num_top) const;

  const FakeAttentionOptions options_;
  mutable std::mutex mutex_;
  NextToken next_token_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const StepRequest&)> on_step_ ABSL_GUARDED_BY(mutex_);
  std::deque<absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  std::vector<StepRequest> steps_ ABSL_GUARDED_BY(mutex_);
  absl::Status readiness_ ABSL_GUARDED_BY(mutex_);
  uint64_t incarnation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<KvBlockPool> pool_ ABSL_GUARDED_BY(mutex_);
  std::map<SequenceId, FakeSequence> sequences_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_ATTENTION_CLIENT_H_
