// The layer loop: a batch of tokens through the whole model, the experts elsewhere.
#ifndef TRAMONTANE_ATTENTION_WORKER_DECODER_H_
#define TRAMONTANE_ATTENTION_WORKER_DECODER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_weights.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/expert_dispatcher.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "attention_worker/token_batch.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "model/config.h"

namespace tramontane {

// What the operations read and write; allocated once, for the largest batch. "compute" is the
// backend's compute dtype.
struct Activations {
  Buffer residual;         // [max_rows, hidden_size] float32
  Buffer normed;           // [max_rows, hidden_size] compute: what enters a matrix product
  Buffer qkv;              // [max_rows, (num_heads + 2 * num_kv_heads) * head_dim] float32
  Buffer attended;         // [max_rows, num_heads * head_dim] compute
  Buffer router_logits;    // [max_rows, num_experts] float32
  Buffer topk_expert_ids;  // [max_rows, top_k] int32
  Buffer gating_weights;   // [max_rows, top_k] float32
  Buffer moe_output;       // [max_rows, hidden_size] float32, written for a tracer only
  Buffer logits;           // [max_logit_rows, vocab_size] float32
};

// Used by the step thread only. What it points to outlives it.
class Decoder {
 public:
  // RESOURCE_EXHAUSTED where the activations for `max_rows` cannot have their memory.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const MixtralConfig& config,
                                                         const AttentionWeights* weights,
                                                         KvCache* cache,
                                                         ExpertDispatcher* dispatcher,
                                                         Backend* backend, int max_rows);

  // Runs the batch through all layers and returns the time spent waiting for experts. `tracer` may
  // be null. Fails as ExpertDispatcher::Dispatch, and with INTERNAL where the router's logits are
  // not finite. Writes the batch's keys and values to the cache, also where it fails; a second run
  // writes the same again.
  absl::StatusOr<absl::Duration> RunLayers(const TokenBatch& batch, absl::Time deadline,
                                           const LayerTracer& tracer);

  // Final norm and LM head for rows of the batch that RunLayers was given last; at most
  // max_logit_rows. Valid until the next call: [rows.size(), vocab_size].
  const float* ComputeLogits(std::span<const LogitRow> rows);
  int max_logit_rows() const { return max_logit_rows_; }

 private:
  Decoder(const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
          ExpertDispatcher* dispatcher, Backend* backend, int max_rows);
  absl::Status Allocate(int max_rows);

  // The steps of the loop, each over all rows of the batch.
  void Embed(const TokenBatch& batch);
  void Normalise(const Buffer& weight, int64_t num_rows);
  void ProjectQkv(const LayerWeights& weights, int64_t num_rows);
  void RotateAndCache(const KvLayer& cache, const TokenBatch& batch);
  void Attend(const KvLayer& cache, const TokenBatch& batch);
  void AddOutputProjection(const LayerWeights& weights, int64_t num_rows);
  absl::Status Route(int layer, const LayerWeights& weights, int64_t num_rows);
  absl::StatusOr<DispatchedRows> DispatchToExperts(int layer, int64_t num_rows,
                                                   absl::Time deadline);
  void CombineExperts(const DispatchedRows& answers, int64_t num_rows, bool keep_moe_output);
  LayerTrace Trace(int layer, int64_t num_rows) const;

  const MixtralConfig config_;
  const DType compute_dtype_;
  const int max_logit_rows_;
  const AttentionWeights* const weights_;
  KvCache* const cache_;
  ExpertDispatcher* const dispatcher_;
  Backend* const backend_;
  Activations activations_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_DECODER_H_
