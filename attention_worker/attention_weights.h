// The weights that an attention worker hosts: all of the model but the experts.
#ifndef TRAMONTANE_ATTENTION_WORKER_ATTENTION_WEIGHTS_H_
#define TRAMONTANE_ATTENTION_WORKER_ATTENTION_WEIGHTS_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"
#include "kernels/embedding_table.h"
#include "kernels/packed_matrix.h"
#include "model/checkpoint.h"

namespace tramontane {

struct LayerWeights {
  Buffer input_norm;                     // [hidden_size] float32
  std::unique_ptr<PackedMatrix> qkv;     // q, k, v stacked: [(num_heads + 2 * num_kv_heads) *
                                         // head_dim, hidden_size]
  std::unique_ptr<PackedMatrix> output;  // [hidden_size, num_heads * head_dim]
  Buffer post_attention_norm;            // [hidden_size] float32
  std::unique_ptr<PackedMatrix> gate;    // [num_experts, hidden_size]
};

// Immutable after Load.
struct AttentionWeights {
  EmbeddingTable embedding;  // [vocab_size, hidden_size]; of a CPU the mapped file: few of its rows
                             // are read
  std::vector<LayerWeights> layers;       // [num_layers]
  Buffer final_norm;                      // [hidden_size] float32
  std::unique_ptr<PackedMatrix> lm_head;  // [vocab_size, hidden_size]

  // Reads and packs, with progress in the log, and gives the mapped pages back, so that one copy
  // stays resident. Ends with one log line: bytes mapped, bytes packed, seconds. The checkpoint
  // outlives the weights. Fails as Backend::Allocate and Backend::Pack, naming the tensor.
  static absl::StatusOr<AttentionWeights> Load(const Checkpoint& checkpoint, Backend* backend);

  // The bytes packed, as that line says them, on a CPU backend.
  static int64_t PackedBytes(const MixtralConfig& config, DType compute_dtype);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ATTENTION_WEIGHTS_H_
