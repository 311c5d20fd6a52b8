// The memory that a step's operations read and write.
#ifndef TRAMONTANE_ATTENTION_WORKER_ACTIVATIONS_H_
#define TRAMONTANE_ATTENTION_WORKER_ACTIVATIONS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
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

// Allocated once, for the largest batch. "compute" is the backend's compute dtype. What is marked
// (host) is read by the host, too, once the backend has finished.
struct Activations {
  RowBuffer residual;  // [max_rows, hidden_size] float32
  // [max_rows, hidden_size] compute: what enters a matrix product. With experts elsewhere the rows
  // of a micro-batch are followed by their routing, so that one copy takes both to the host: row(i)
  // is where those of the micro-batch that begins at row i begin.
  RowBuffer normed;
  RowBuffer qkv;       // [max_rows, (num_heads + 2 * num_kv_heads) * head_dim] float32
  RowBuffer attended;  // [max_rows, num_heads * head_dim] compute
  RowBuffer routing;   // [num_layers * max_rows] rows of what Routing points to; local experts only
  RowBuffer moe_output;   // (host) [max_rows, hidden_size] float32, written for a tracer only
  RowBuffer logits;       // [max_logit_rows, vocab_size] float32; (host) where it sees memory
  RowBuffer expert_rows;  // [max_rows, top_k, hidden_size] compute; local experts only
  // Where the host does not see the backend's memory, what it sees apart; elsewhere empty.
  RowBuffer sent;          // (host) of `normed`, with experts elsewhere
  RowBuffer host_routing;  // (host) of `routing`
  RowBuffer layer_output;  // (host) of `residual`, written for a tracer only
  RowBuffer host_logits;   // (host) of `logits`
  RowBuffer sampled_ids;   // (host) [max_logit_rows] int32
};

// The router's results for some rows of a layer.
struct Routing {
  float* router_logits = nullptr;      // [num_rows, num_experts]
  int32_t* topk_expert_ids = nullptr;  // [num_rows, top_k]
  float* gating_weights = nullptr;     // [num_rows, top_k]
};

// Of the `index`-th of `count` routings of `num_rows` rows each, which begin at `block` and lie
// together, so that one copy takes them all: all logits, then all ids, then all weights.
Routing RoutingAt(std::byte* block, int64_t index, int64_t count, int64_t num_rows,
                  const MixtralConfig& config);

// Whose routing is kept, and where the experts are.
struct ActivationOptions {
  int max_rows = 0;
  // Experts run on the same backend, so that the host reads the routing of all layers at the end of
  // a step; else one layer's at a time.
  bool local_experts = false;
};

// Logits of a scored prompt are made and used this many rows at a time: enough for the matrix
// product to run at full speed, 8 MB at a vocabulary of 32,000.
inline constexpr int kMaxLogitRows = 64;

// Fails as Backend::Allocate.
absl::StatusOr<Activations> AllocateActivations(const MixtralConfig& config,
                                                const ActivationOptions& options, Backend* backend);

// Bytes of all of them where the host sees the backend's memory and experts are elsewhere.
int64_t ActivationBytes(const MixtralConfig& config, DType compute_dtype, int max_rows);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ACTIVATIONS_H_
