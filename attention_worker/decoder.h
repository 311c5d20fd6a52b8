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
#include "attention_worker/micro_batch.h"
#include "attention_worker/token_batch.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "model/config.h"

namespace tramontane {

// A row for each token of a step.
struct RowBuffer {
  Buffer memory;
  size_t row_bytes = 0;

  std::byte* row(int64_t i) const { return memory.bytes() + static_cast<size_t>(i) * row_bytes; }
  template <typename T>
  T* row(int64_t i) const {
    return reinterpret_cast<T*>(row(i));
  }
};

// What the operations read and write; allocated once, for the largest batch. "compute" is the
// backend's compute dtype.
struct Activations {
  RowBuffer residual;         // [max_rows, hidden_size] float32
  RowBuffer normed;           // [max_rows, hidden_size] compute: what enters a matrix product
  RowBuffer qkv;              // [max_rows, (num_heads + 2 * num_kv_heads) * head_dim] float32
  RowBuffer attended;         // [max_rows, num_heads * head_dim] compute
  RowBuffer router_logits;    // [max_rows, num_experts] float32
  RowBuffer topk_expert_ids;  // [max_rows, top_k] int32
  RowBuffer gating_weights;   // [max_rows, top_k] float32
  RowBuffer moe_output;       // [max_rows, hidden_size] float32, written for a tracer only
  RowBuffer logits;           // [max_logit_rows, vocab_size] float32
};

// Used by the step thread only. What it points to outlives it.
class Decoder {
 public:
  // Batches of at least `ping_pong_min_rows` (0: none) run as two micro-batches: while the experts
  // work on one, attention works on the other. It changes no bit.
  // RESOURCE_EXHAUSTED where the activations for `max_rows` cannot have their memory.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(
      const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
      ExpertDispatcher* dispatcher, Backend* backend, int max_rows, int ping_pong_min_rows);

  // Runs the batch through all layers and returns the time spent waiting for experts. `tracer` may
  // be null; with one, there is one micro-batch. Fails as ExpertDispatcher, and with INTERNAL where
  // the router's logits are not finite. Writes the batch's keys and values to the cache, also where
  // it fails; a second run writes the same again.
  absl::StatusOr<absl::Duration> RunLayers(const TokenBatch& batch, absl::Time deadline,
                                           const LayerTracer& tracer);

  // Final norm and LM head for rows of the batch that RunLayers was given last; at most
  // max_logit_rows. Valid until the next call: [rows.size(), vocab_size].
  const float* ComputeLogits(std::span<const LogitRow> rows);
  int max_logit_rows() const { return max_logit_rows_; }

  // Bytes of the activations, allocated as a whole.
  static int64_t ActivationBytes(const MixtralConfig& config, DType compute_dtype, int max_rows);

 private:
  Decoder(const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
          ExpertDispatcher* dispatcher, Backend* backend, int max_rows, int ping_pong_min_rows);
  absl::Status Allocate(int max_rows);

  // The parts of a layer, each over the rows of a micro-batch.
  void RunAttention(int layer, const MicroBatch& rows);
  absl::Status SendToExperts(int layer, MicroBatch& rows, absl::Time deadline);
  // Waits for the answers, and adds the time to `expert_wait`.
  absl::Status CombineExperts(int layer, MicroBatch& rows, const LayerTracer& tracer,
                              absl::Duration& expert_wait);

  void Embed(const TokenBatch& batch);
  void Normalise(const Buffer& weight, const MicroBatch& rows);
  void RotateAndCache(const KvLayer& cache, const MicroBatch& rows);
  void Attend(const KvLayer& cache, const MicroBatch& rows);
  absl::Status Route(int layer, const MicroBatch& rows);
  LayerTrace Trace(int layer, const MicroBatch& rows) const;

  const MixtralConfig config_;
  const DType compute_dtype_;
  const int max_logit_rows_;
  const int ping_pong_min_rows_;
  const AttentionWeights* const weights_;
  KvCache* const cache_;
  ExpertDispatcher* const dispatcher_;
  Backend* const backend_;
  Activations activations_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_DECODER_H_
