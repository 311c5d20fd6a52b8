// The attention worker: everything of the model but the experts.
#ifndef TRAMONTANE_ATTENTION_WORKER_ATTENTION_WORKER_H_
#define TRAMONTANE_ATTENTION_WORKER_ATTENTION_WORKER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "attention_worker/arrival_pump.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/local_experts.h"
#include "attention_worker/step_observer.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"

namespace tramontane {

struct AttentionWorkerOptions {
  int kv_block_size = 16;  // tokens; a multiple of kKvTile
  int64_t kv_cache_tokens =
      0;  // capacity over all sequences; 0: 8 x the model's context, bounded by memory
  int max_step_tokens = 2048;  // rows of one step; sizes the activation buffers
  // Steps of so many rows run as two micro-batches, attention of one beside the experts of the
  // other; 0: never.
  int ping_pong_min_rows = 0;
  // A batch that takes longer has failed, also where no other worker could answer it; 0: none.
  int64_t expert_timeout_ms = 30'000;
  // What a step waits for a worker with an expert that nobody hosts; 0: it fails at once.
  int64_t expert_wait_timeout_ms = 30'000;
  // Of that time, what it waits before it ends with ABORTED, so that its caller can look after its
  // sequences and give the step again.
  int64_t expert_wait_slice_ms = 1'000;
  // Times the expected latency of a batch after which a second worker gets its rows too; 0: never.
  double hedge_after = 0;
  // Brings the experts' answers in while a step waits for them; it outlives the worker. Null: only
  // other threads do.
  ArrivalPump* arrivals = nullptr;
  // All experts of the model, packed by the attention's own backend; they outlive the worker. Null:
  // the directory's.
  const LocalExperts* local_experts = nullptr;
};

// What tests and the golden comparison look at: the inside of a layer, rows of the running step.
struct LayerTrace {
  int layer = 0;
  int64_t num_rows = 0;
  std::span<const float> router_logits;      // [num_rows, num_experts]
  std::span<const int32_t> topk_expert_ids;  // [num_rows, top_k]
  std::span<const float> gating_weights;     // [num_rows, top_k]
  std::span<const float> moe_output;         // [num_rows, hidden_size]
  std::span<const float> layer_output;  // [num_rows, hidden_size]: the residual after the layer
};
using LayerTracer = std::function<void(const LayerTrace&)>;

// Loads attention weights (with progress in the log) and owns the KV cache. `backend`, `directory`
// and `observer` outlive the worker. Fails as Checkpoint, Backend and KV allocation fail, and with
// INVALID_ARGUMENT for options out of range.
class AttentionWorker : public AttentionClient {
 public:
  static absl::StatusOr<std::unique_ptr<AttentionWorker>> Create(
      std::shared_ptr<const Checkpoint> checkpoint, Backend* backend, ExpertDirectory* directory,
      StepObserver* observer, const AttentionWorkerOptions& options);

  // Called after each layer of each step, from the step thread; null: none. For tests.
  virtual void set_layer_tracer(LayerTracer tracer) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ATTENTION_WORKER_H_
