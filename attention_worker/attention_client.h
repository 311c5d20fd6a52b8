// An attention worker, in domain terms: what the coordinator's scheduler drives.
#ifndef TRAMONTANE_ATTENTION_WORKER_ATTENTION_CLIENT_H_
#define TRAMONTANE_ATTENTION_WORKER_ATTENTION_CLIENT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/sampling_params.h"

namespace tramontane {

using SequenceId = uint64_t;

// A sequence as the attention worker must know it before its first step.
struct SequenceSpec {
  SequenceId id = 0;
  SamplingParams sampling;
  int max_total_tokens = 0;    // prompt and completion: no chunk goes further
  int num_top_logprobs = 0;    // alternatives beside each log-probability
  bool want_logprobs = false;  // of sampled tokens
  bool want_routing = false;

  // What is known of the sequence: its prompt and, after a preemption, what was sampled until then.
  std::vector<int32_t> token_ids;
  // Of token_ids, so many at the start need not run where the prefix cache holds them: fewer than
  // all where a token is to be sampled, none whose log-probability or routing is wanted.
  int max_cached_tokens = 0;
};

// Consecutive tokens of one sequence to run in a step: a prefill chunk, or one decode token.
struct SequenceChunk {
  SequenceId id = 0;
  int first_position = 0;          // equals the number of tokens run before
  std::vector<int32_t> token_ids;  // at least one
  // [token_ids.size()] or empty: the token whose log-probability is wanted at each row (the next
  // one of the prompt), -1 for none.
  std::vector<int32_t> target_token_ids;
  bool sample = false;  // choose a token after the last row
};

// A mix of prefill chunks and decode rows; each sequence at most once.
struct StepRequest {
  std::vector<SequenceChunk> chunks;
  absl::Time deadline = absl::InfiniteFuture();  // passed on to the expert workers
};

struct TokenLogprob {
  int32_t token_id = -1;
  float logprob = 0.0f;  // natural logarithm of the model's softmax, before sampling parameters
  std::vector<std::pair<int32_t, float>> top;  // the likeliest, best first
};

// Routing of the rows of a chunk.
struct ChunkRouting {
  std::vector<int32_t> expert_ids;    // [num_rows, num_layers, top_k]
  std::vector<float> gating_weights;  // the same shape
};

struct ChunkResult {
  SequenceId id = 0;
  std::optional<TokenLogprob> sampled;  // where asked for; logprob and top only with want_logprobs
  std::vector<TokenLogprob> targets;    // [number of target_token_ids that are not -1], in order
  ChunkRouting routing;                 // empty unless want_routing
};

struct StepResult {
  std::vector<ChunkResult> chunks;  // in the order of the request
};

struct KvCacheUsage {
  int64_t num_blocks = 0;
  int64_t num_free_blocks = 0;  // that a step can take; what they hold may serve prefix hits
  int block_size = 0;           // tokens

  int64_t BlocksFor(int64_t num_tokens) const { return (num_tokens + block_size - 1) / block_size; }
};

// Driven by one thread, but for the const functions, which any thread may ask. Implementations: the
// in-process AttentionWorker, GrpcAttentionClient, and tests/fakes.
class AttentionClient {
 public:
  virtual ~AttentionClient() = default;

  // Returns how many of its tokens the prefix cache holds, whole blocks, which the sequence then
  // references: its first chunk starts after them. INVALID_ARGUMENT where max_total_tokens can
  // never fit or the id is in use.
  virtual absl::StatusOr<int> AddSequence(const SequenceSpec& spec) = 0;

  // Runs one step; blocks. KV blocks are taken as the positions of a chunk need them. On failure no
  // sequence of the step has advanced or keeps blocks that the step took: UNAVAILABLE naming layer
  // and experts where an expert has no worker, ABORTED where it may get one yet: the step is to be
  // given again, with those sequences that still want it; DEADLINE_EXCEEDED past the deadline,
  // RESOURCE_EXHAUSTED where too few blocks are free (kv_cache_usage tells before). The same chunks
  // may be given again and then yield the same bits.
  virtual absl::StatusOr<StepResult> Step(const StepRequest& request) = 0;

  // From now on steps fail with DEADLINE_EXCEEDED, or UNAVAILABLE, once `end` has passed; one that
  // runs already, a second later at the latest, but for what it computes itself. From any thread.
  virtual void EndStepsBy(absl::Time /*end*/) {}

  // Frees what a sequence holds; its full blocks stay in the prefix cache until they are needed. An
  // unknown id is ignored.
  virtual void ReleaseSequence(SequenceId id) = 0;

  virtual KvCacheUsage kv_cache_usage() const = 0;

  // OK while sequences may be added; else UNAVAILABLE saying why not. Those that were added may
  // still be run.
  virtual absl::Status readiness() const { return absl::OkStatus(); }

  // Changes whenever the worker has lost all sequences that it was given: it was restarted, or its
  // connection broke. They are to be added again.
  virtual uint64_t incarnation() const { return 0; }
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ATTENTION_CLIENT_H_
