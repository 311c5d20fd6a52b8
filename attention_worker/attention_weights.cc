#include "attention_worker/attention_weights.h"

#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/cpu/memory_size.h"
#include "kernels/free_memory.h"
#include "model/log.h"

namespace tramontane {
namespace {

// Packs tensors one after another and counts them; the first error stays in `status()`.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, Backend* backend)
      : checkpoint_(checkpoint), backend_(backend) {}

  std::unique_ptr<PackedMatrix> Pack(std::span<const TensorView> stacked) {
    if (!status_.ok()) return nullptr;
    absl::StatusOr<std::unique_ptr<PackedMatrix>> packed = backend_->Pack(stacked);
    if (!packed.ok()) {
      Fail(stacked.front().name, packed.status());
      return nullptr;
    }
    for (const TensorView& tensor : stacked) {
      mapped_bytes_ += tensor.num_bytes();
      checkpoint_.DropPages(tensor);  // the bytes stay readable, for a tied embedding
    }
    packed_bytes_ += (*packed)->num_bytes();
    return *std::move(packed);
  }

  // A norm's weight as float32.
  Buffer Widen(const TensorView& tensor) {
    if (!status_.ok()) return {};
    absl::StatusOr<Buffer> widened = WidenForBackend(tensor);
    if (!widened.ok()) {
      Fail(tensor.name, widened.status());
      return {};
    }
    mapped_bytes_ += tensor.num_bytes();
    packed_bytes_ += widened->size();
    return *std::move(widened);
  }

  EmbeddingTable Place(const TensorView& embedding) {
    if (!status_.ok()) return {};
    absl::StatusOr<EmbeddingTable> table = backend_->PlaceEmbedding(embedding);
    if (!table.ok()) {
      Fail(embedding.name, table.status());
      return {};
    }
    packed_bytes_ += table->memory.size();
    return *std::move(table);
  }

  // One line a second, not one a layer.
  void ReportLayer(int layer, int num_layers) {
    const absl::Time now = absl::Now();
    if (now - last_line_ < absl::Seconds(1)) return;
    last_line_ = now;
    Log(LogLevel::kInfo, "loading attention weights",
        {{"loaded_layers", layer + 1}, {"of", num_layers}, {"packed_bytes", packed_bytes_}});
  }

  void ReportEnd() const {
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    Log(LogLevel::kInfo, "attention weights loaded",
        {{"mapped_bytes", mapped_bytes_},
         {"packed_bytes", packed_bytes_},
         {"seconds", absl::StrFormat("%.3f", seconds)},
         {"gb_per_s", absl::StrFormat("%.2f", seconds > 0 ? mapped_bytes_ / seconds / 1e9 : 0.0)}});
  }

  const absl::Status& status() const { return status_; }

 private:
  // In memory that the host can write, and from there to the backend's own where that is another.
  absl::StatusOr<Buffer> WidenForBackend(const TensorView& tensor) const {
    const auto count = static_cast<size_t>(tensor.num_elements());
    absl::StatusOr<Buffer> shared = backend_->AllocateShared(count * sizeof(float));
    if (!shared.ok()) return shared;
    for (size_t i = 0; i < count; ++i) {
      shared->as<float>()[i] = ElementAsFloat(tensor, static_cast<int64_t>(i));
    }
    if (backend_->host_sees_memory()) return shared;
    absl::StatusOr<Buffer> own = backend_->Allocate(shared->size());
    if (!own.ok()) return own;
    backend_->Copy(shared->bytes(), own->bytes(), shared->size());
    const absl::Status copied = backend_->Finish();
    if (!copied.ok()) return copied;
    return own;
  }

  void Fail(const std::string& tensor, const absl::Status& status) {
    status_ = absl::Status(status.code(), absl::StrCat(tensor, ": ", status.message()));
  }

  const Checkpoint& checkpoint_;
  Backend* const backend_;
  const absl::Time start_ = absl::Now();
  absl::Time last_line_ = start_;
  size_t mapped_bytes_ = 0;
  size_t packed_bytes_ = 0;
  absl::Status status_;
};

// The disk reads the next layer while this one is packed.
void WillRead(const Checkpoint& checkpoint, int layer) {
  if (layer >= checkpoint.config().num_layers) return;
  const AttentionTensors tensors = checkpoint.Attention(layer);
  for (const TensorView* tensor :
       {&tensors.q_proj, &tensors.k_proj, &tensors.v_proj, &tensors.o_proj, &tensors.gate}) {
    checkpoint.WillRead(*tensor);
  }
}

LayerWeights LoadLayer(const AttentionTensors& tensors, WeightLoader& loader) {
  const TensorView qkv[] = {tensors.q_proj, tensors.k_proj, tensors.v_proj};
  LayerWeights layer;
  layer.input_norm = loader.Widen(tensors.input_norm);
  layer.qkv = loader.Pack(qkv);
  layer.output = loader.Pack(std::span(&tensors.o_proj, 1));
  layer.post_attention_norm = loader.Widen(tensors.post_attention_norm);
  layer.gate = loader.Pack(std::span(&tensors.gate, 1));
  return layer;
}

}  // namespace

absl::StatusOr<AttentionWeights> AttentionWeights::Load(const Checkpoint& checkpoint,
                                                        Backend* backend) {
  const MixtralConfig& config = checkpoint.config();
  absl::Status fits =
      CheckFreeBytes(*backend, PackedBytes(config, backend->compute_dtype()), "attention's weights",
                     "give attention a device of its own, or one with more free memory");
  if (!fits.ok()) return fits;
  WeightLoader loader(checkpoint, backend);
  AttentionWeights weights;
  weights.embedding = loader.Place(checkpoint.Embedding());
  WillRead(checkpoint, 0);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    WillRead(checkpoint, layer + 1);
    weights.layers.push_back(LoadLayer(checkpoint.Attention(layer), loader));
    if (!loader.status().ok()) return loader.status();
    loader.ReportLayer(layer, config.num_layers);
  }
  weights.final_norm = loader.Widen(checkpoint.FinalNorm());
  const TensorView lm_head = checkpoint.LmHead();
  checkpoint.WillRead(lm_head);
  weights.lm_head = loader.Pack(std::span(&lm_head, 1));
  if (!loader.status().ok()) return loader.status();
  loader.ReportEnd();
  return weights;
}

int64_t AttentionWeights::PackedBytes(const MixtralConfig& config, DType compute_dtype) {
  const int64_t hidden = config.hidden_size;
  const int64_t query = int64_t{config.num_heads} * config.head_dim;
  const int64_t key_value = int64_t{config.num_kv_heads} * config.head_dim;
  const int64_t norm = hidden * static_cast<int64_t>(sizeof(float));
  const int64_t layer = 2 * norm +
                        cpu::PackedMatrixBytes(query + 2 * key_value, hidden, compute_dtype) +
                        cpu::PackedMatrixBytes(hidden, query, compute_dtype) +
                        cpu::PackedMatrixBytes(config.num_experts, hidden, compute_dtype);
  return config.num_layers * layer + norm +
         cpu::PackedMatrixBytes(config.vocab_size, hidden, compute_dtype);
}

}  // namespace tramontane
