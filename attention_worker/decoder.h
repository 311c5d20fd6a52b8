// The layer loop: a batch of tokens through the whole model, the experts elsewhere.
#ifndef TRAMONTANE_ATTENTION_WORKER_DECODER_H_
#define TRAMONTANE_ATTENTION_WORKER_DECODER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/activations.h"
#include "attention_worker/attention_weights.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/expert_dispatcher.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "attention_worker/local_experts.h"
#include "attention_worker/micro_batch.h"
#include "attention_worker/step_observer.h"
#include "attention_worker/token_batch.h"
#include "kernels/backend.h"
#include "kernels/sample_tokens.h"
#include "model/config.h"

namespace tramontane {

// What a decoder works with; all of it outlives it.
struct DecoderParts {
  const AttentionWeights* weights = nullptr;
  KvCache* cache = nullptr;
  ExpertDispatcher* dispatcher = nullptr;
  const LocalExperts* local_experts = nullptr;  // null: experts are the dispatcher's
  StepObserver* observer = nullptr;             // of local experts' routing
  Backend* backend = nullptr;
};

// Used by the step thread only.
class Decoder {
 public:
  // Batches of at least `ping_pong_min_rows` (0: none) run as two micro-batches: while the experts
  // work on one, attention works on the other. It changes no bit; local experts have no use for it.
  // On a device, runs a row through all operations, so that they take their memory now.
  // RESOURCE_EXHAUSTED where the activations for `max_rows` cannot have their memory.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const MixtralConfig& config,
                                                         const DecoderParts& parts, int max_rows,
                                                         int ping_pong_min_rows);

  // Waits for what is queued, which works on the decoder's memory.
  ~Decoder() { (void)backend_->Finish(); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Runs the batch through all layers and returns the time spent waiting for experts. `tracer` may
  // be null; with one, there is one micro-batch. Fails as ExpertDispatcher, with INTERNAL where the
  // router's logits are not finite, with DEADLINE_EXCEEDED before a layer that is not queued yet
  // by `deadline`, and as Backend::Finish. Writes the batch's keys and values to the cache, also
  // where it fails; a second run writes the same again.
  absl::StatusOr<absl::Duration> RunLayers(const TokenBatch& batch, absl::Time deadline,
                                           const LayerTracer& tracer);

  // Final norm and LM head for rows of the batch that RunLayers was given last; at most
  // max_logit_rows. Valid until the next call: [rows.size(), vocab_size]. Fails as Backend::Finish.
  absl::StatusOr<const float*> ComputeLogits(std::span<const LogitRow> rows);
  // The same, but only the token that is sampled of each row, or -1 where a logit is not finite.
  // `sampling` [rows.size()]; or none: the greatest, the lowest id of equals. On a device that
  // spares the way of the logits to the host.
  absl::StatusOr<const int32_t*> ComputeTokens(std::span<const LogitRow> rows,
                                               std::span<const TokenSampling> sampling);
  // Whether that is the faster way for rows whose logits nobody wants.
  bool prefers_tokens() const { return !backend_->host_sees_memory(); }
  int max_logit_rows() const { return max_logit_rows_; }

 private:
  Decoder(const MixtralConfig& config, const DecoderParts& parts, int max_rows,
          int ping_pong_min_rows);
  absl::Status WarmUp();

  // All layers, with experts on this backend: the host waits at the end, and for a tracer.
  absl::Status RunWithLocalExperts(const TokenBatch& batch, absl::Time deadline,
                                   const LayerTracer& tracer);

  // The same with experts elsewhere; returns the time spent waiting for them.
  absl::StatusOr<absl::Duration> RunWithWorkers(const TokenBatch& batch, absl::Time deadline,
                                                const LayerTracer& tracer);

  // The parts of a layer, each over the rows of a micro-batch.
  void RunAttention(int layer, const MicroBatch& rows);
  void Route(int layer, const MicroBatch& rows);
  absl::Status SendToExperts(int layer, MicroBatch& rows, absl::Time deadline);
  // Waits for the answers, and adds the time to `expert_wait`.
  absl::Status CombineExperts(int layer, MicroBatch& rows, const LayerTracer& tracer,
                              absl::Duration& expert_wait);

  // Final norm and LM head, into `logits`.
  void QueueLogits(std::span<const LogitRow> rows);
  void RunLocalExperts(int layer, const MicroBatch& rows, bool traced);
  void AddExpertRows(const std::byte* const* expert_rows, int layer, const MicroBatch& rows,
                     bool traced);

  void Embed(const TokenBatch& batch);
  void Normalise(const Buffer& weight, const MicroBatch& rows);
  void RotateAndCache(const KvLayer& cache, const MicroBatch& rows);
  void Attend(const KvLayer& cache, const MicroBatch& rows);
  // INTERNAL where the router's logits are not finite.
  absl::Status CheckRouting(int layer, const MicroBatch& rows) const;
  // The layer as the host sees it, once all is finished.
  absl::Status TraceLayer(int layer, const MicroBatch& rows, const LayerTracer& tracer);
  RoutedTokens RoutedTo(int layer, const MicroBatch& rows) const;
  LayerTrace Trace(int layer, const MicroBatch& rows) const;
  // Where operations write the rows' routing, and where the host reads it once it is copied.
  Routing RoutingOf(int layer, const MicroBatch& rows) const;
  Routing HostRoutingOf(int layer, const MicroBatch& rows) const;
  // With local experts among those of all layers, else behind the rows themselves.
  Routing RoutingIn(const RowBuffer& of_layers, const RowBuffer& behind_rows, int layer,
                    const MicroBatch& rows) const;
  // Of `num_rows` rows that enter a matrix product.
  int64_t NormedBytes(int64_t num_rows) const;
  // With local experts: of all layers.
  void CopyRoutingToHost(const MicroBatch& rows);
  // Where the host reads the rows of `own` once all is finished: there, or in `copies`, to which
  // they are queued to go.
  const std::byte* ForHost(const RowBuffer& own, const RowBuffer& copies, int64_t first_row,
                           int64_t num_rows);
  absl::Status Finish();

  const MixtralConfig config_;
  const DType compute_dtype_;
  const int max_logit_rows_;
  const int ping_pong_min_rows_;
  const DecoderParts parts_;
  Backend* const backend_;
  Activations activations_;
  std::vector<const std::byte*> local_rows_;  // [max_rows * top_k] into expert_rows
  std::vector<DispatchedRows> in_use_;        // by operations that may not have run yet
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_DECODER_H_
