#include "attention_worker/decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/finite_rows.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/route_topk.h"
#include "model/check.h"

namespace tramontane {
namespace {

// Logits of a scored prompt are made and used this many rows at a time: enough for the matrix
// product to run at full speed, 8 MB at a vocabulary of 32,000.
constexpr int kMaxLogitRows = 64;

int MaxLogitRows(int max_rows) { return std::min(max_rows, kMaxLogitRows); }

struct ActivationSize {
  RowBuffer Activations::*buffer;
  size_t row_bytes;
  int num_rows;

  size_t num_bytes() const { return static_cast<size_t>(num_rows) * row_bytes; }
};

std::vector<ActivationSize> ActivationSizes(const MixtralConfig& config, DType compute_dtype,
                                            int max_rows) {
  const size_t compute_size = DTypeSize(compute_dtype);
  const auto hidden = static_cast<size_t>(config.hidden_size);
  const auto head_dim = static_cast<size_t>(config.head_dim);
  const auto qkv = static_cast<size_t>(config.num_heads + 2 * config.num_kv_heads) * head_dim;
  const auto top_k = static_cast<size_t>(config.top_k);
  return {
      {&Activations::residual, hidden * sizeof(float), max_rows},
      {&Activations::normed, hidden * compute_size, max_rows},
      {&Activations::qkv, qkv * sizeof(float), max_rows},
      {&Activations::attended, config.num_heads * head_dim * compute_size, max_rows},
      {&Activations::router_logits, config.num_experts * sizeof(float), max_rows},
      {&Activations::topk_expert_ids, top_k * sizeof(int32_t), max_rows},
      {&Activations::gating_weights, top_k * sizeof(float), max_rows},
      {&Activations::moe_output, hidden * sizeof(float), max_rows},
      {&Activations::logits, config.vocab_size * sizeof(float), MaxLogitRows(max_rows)},
  };
}

}  // namespace

absl::StatusOr<absl::Duration> Decoder::RunLayers(const TokenBatch& batch, absl::Time deadline,
                                                  const LayerTracer& tracer) {
  const bool ping_pong = ping_pong_min_rows_ > 0 && batch.num_rows() >= ping_pong_min_rows_;
  std::vector<MicroBatch> micro_batches =
      CutIntoMicroBatches(batch, ping_pong && tracer == nullptr ? 2 : 1);
  absl::Duration expert_wait;
  Embed(batch);
  for (int layer = 0; layer <= config_.num_layers; ++layer) {
    for (MicroBatch& rows : micro_batches) {
      // While this part waits for its experts, the other parts' are at work.
      if (layer > 0) {
        const absl::Status combined = CombineExperts(layer - 1, rows, tracer, expert_wait);
        if (!combined.ok()) return combined;
      }
      if (layer == config_.num_layers) continue;
      RunAttention(layer, rows);
      const absl::Status routed = Route(layer, rows);
      if (!routed.ok()) return routed;
      const absl::Status sent = SendToExperts(layer, rows, deadline);
      if (!sent.ok()) return sent;
    }
  }
  return expert_wait;
}

void Decoder::RunAttention(int layer, const MicroBatch& rows) {
  const LayerWeights& weights = weights_->layers[layer];
  const KvLayer cache = cache_->Layer(layer);
  const int64_t first = rows.first_row;

  Normalise(weights.input_norm, rows);
  backend_->MatMul({.input = activations_.normed.row(first),
                    .weight = weights.qkv.get(),
                    .output = activations_.qkv.row<float>(first),
                    .num_rows = rows.num_rows});
  RotateAndCache(cache, rows);
  Attend(cache, rows);
  backend_->MatMul({.input = activations_.attended.row(first),
                    .weight = weights.output.get(),
                    .output = activations_.residual.row<float>(first),
                    .num_rows = rows.num_rows,
                    .accumulate = true});
  Normalise(weights.post_attention_norm, rows);
}

absl::Status Decoder::SendToExperts(int layer, MicroBatch& rows, absl::Time deadline) {
  const RoutedTokens routed = {
      .layer = layer,
      .num_tokens = rows.num_rows,
      .top_k = config_.top_k,
      .topk_expert_ids = Trace(layer, rows).topk_expert_ids,
  };
  absl::StatusOr<ExpertDispatcher::Pending> experts =
      dispatcher_->Send(routed, activations_.normed.row(rows.first_row), deadline);
  if (!experts.ok()) return experts.status();
  rows.experts = *std::move(experts);
  return absl::OkStatus();
}

absl::Status Decoder::CombineExperts(int layer, MicroBatch& rows, const LayerTracer& tracer,
                                     absl::Duration& expert_wait) {
  const absl::StatusOr<DispatchedRows> answers = dispatcher_->Await(std::move(rows.experts));
  if (!answers.ok()) return answers.status();
  expert_wait += answers->wait;
  const int64_t first = rows.first_row;
  backend_->CombineExperts(
      {.expert_rows = answers->expert_rows.data(),
       .row_dtype = compute_dtype_,
       .gating_weights = activations_.gating_weights.row<float>(first),
       .residual = activations_.residual.row<float>(first),
       .moe_output = tracer != nullptr ? activations_.moe_output.row<float>(first) : nullptr,
       .num_tokens = rows.num_rows,
       .top_k = config_.top_k,
       .hidden_size = config_.hidden_size});
  if (tracer != nullptr) tracer(Trace(layer, rows));
  return absl::OkStatus();
}

const float* Decoder::ComputeLogits(std::span<const LogitRow> rows) {
  TRAMONTANE_CHECK(static_cast<int>(rows.size()) <= max_logit_rows_);
  // Rows that lie together are normalised together: the final norm also gathers.
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end].row == rows[end - 1].row + 1) ++end;
    backend_->RmsNorm({.input = activations_.residual.row<float>(rows[begin].row),
                       .weight = weights_->final_norm.as<float>(),
                       .output = activations_.normed.row(static_cast<int64_t>(begin)),
                       .output_dtype = compute_dtype_,
                       .num_tokens = static_cast<int64_t>(end - begin),
                       .hidden_size = config_.hidden_size,
                       .epsilon = config_.rms_norm_eps});
    begin = end;
  }
  backend_->MatMul({.input = activations_.normed.row(0),
                    .weight = weights_->lm_head.get(),
                    .output = activations_.logits.row<float>(0),
                    .num_rows = static_cast<int64_t>(rows.size())});
  return activations_.logits.row<float>(0);
}

void Decoder::Embed(const TokenBatch& batch) {
  backend_->EmbedTokens({.embedding = &weights_->embedding,
                         .token_ids = batch.token_ids.data(),
                         .hidden_states = activations_.residual.row<float>(0),
                         .num_tokens = batch.num_rows()});
}

void Decoder::Normalise(const Buffer& weight, const MicroBatch& rows) {
  backend_->RmsNorm({.input = activations_.residual.row<float>(rows.first_row),
                     .weight = weight.as<float>(),
                     .output = activations_.normed.row(rows.first_row),
                     .output_dtype = compute_dtype_,
                     .num_tokens = rows.num_rows,
                     .hidden_size = config_.hidden_size,
                     .epsilon = config_.rms_norm_eps});
}

void Decoder::RotateAndCache(const KvLayer& cache, const MicroBatch& rows) {
  backend_->RopeAndCache({.qkv = activations_.qkv.row<float>(rows.first_row),
                          .num_heads = config_.num_heads,
                          .rope_theta = config_.rope_theta,
                          .cache = cache,
                          .sequences = rows.sequences,
                          .num_tokens = rows.num_rows});
}

void Decoder::Attend(const KvLayer& cache, const MicroBatch& rows) {
  backend_->PagedAttention({.qkv = activations_.qkv.row<float>(rows.first_row),
                            .num_heads = config_.num_heads,
                            .sliding_window = config_.sliding_window,
                            .cache = cache,
                            .sequences = rows.sequences,
                            .num_tokens = rows.num_rows,
                            .output = activations_.attended.row(rows.first_row),
                            .output_dtype = compute_dtype_});
}

absl::Status Decoder::Route(int layer, const MicroBatch& rows) {
  const int64_t first = rows.first_row;
  backend_->MatMul({.input = activations_.normed.row(first),
                    .weight = weights_->layers[layer].gate.get(),
                    .output = activations_.router_logits.row<float>(first),
                    .num_rows = rows.num_rows});
  if (!RowIsFinite(activations_.router_logits.row(first), rows.num_rows * config_.num_experts,
                   DType::kF32)) {
    return absl::InternalError(
        absl::StrCat("layer ", layer,
                     ": the router's logits hold an infinity or a NaN; expected "
                     "finite numbers: are the checkpoint's weights finite?"));
  }
  backend_->RouteTopK({.router_logits = activations_.router_logits.row<float>(first),
                       .topk_expert_ids = activations_.topk_expert_ids.row<int32_t>(first),
                       .gating_weights = activations_.gating_weights.row<float>(first),
                       .num_tokens = rows.num_rows,
                       .num_experts = config_.num_experts,
                       .top_k = config_.top_k});
  return absl::OkStatus();
}

LayerTrace Decoder::Trace(int layer, const MicroBatch& rows) const {
  const int64_t first = rows.first_row;
  const auto num_rows = static_cast<size_t>(rows.num_rows);
  const auto hidden = num_rows * config_.hidden_size;
  const auto choices = num_rows * config_.top_k;
  return {.layer = layer,
          .num_rows = rows.num_rows,
          .router_logits = {activations_.router_logits.row<float>(first),
                            num_rows * config_.num_experts},
          .topk_expert_ids = {activations_.topk_expert_ids.row<int32_t>(first), choices},
          .gating_weights = {activations_.gating_weights.row<float>(first), choices},
          .moe_output = {activations_.moe_output.row<float>(first), hidden},
          .layer_output = {activations_.residual.row<float>(first), hidden}};
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(
    const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
    ExpertDispatcher* dispatcher, Backend* backend, int max_rows, int ping_pong_min_rows) {
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, weights, cache, dispatcher, backend, max_rows, ping_pong_min_rows));
  const absl::Status allocated = decoder->Allocate(max_rows);
  if (!allocated.ok()) return allocated;
  return decoder;
}

Decoder::Decoder(const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
                 ExpertDispatcher* dispatcher, Backend* backend, int max_rows,
                 int ping_pong_min_rows)
    : config_(config),
      compute_dtype_(backend->compute_dtype()),
      max_logit_rows_(MaxLogitRows(max_rows)),
      ping_pong_min_rows_(ping_pong_min_rows),
      weights_(weights),
      cache_(cache),
      dispatcher_(dispatcher),
      backend_(backend) {}

absl::Status Decoder::Allocate(int max_rows) {
  for (const ActivationSize& size : ActivationSizes(config_, compute_dtype_, max_rows)) {
    absl::StatusOr<Buffer> allocated = backend_->Allocate(size.num_bytes());
    if (!allocated.ok()) return allocated.status();
    activations_.*size.buffer = {*std::move(allocated), size.row_bytes};
  }
  return absl::OkStatus();
}

int64_t Decoder::ActivationBytes(const MixtralConfig& config, DType compute_dtype, int max_rows) {
  size_t num_bytes = 0;
  for (const ActivationSize& size : ActivationSizes(config, compute_dtype, max_rows)) {
    num_bytes += size.num_bytes();
  }
  return static_cast<int64_t>(num_bytes);
}

}  // namespace tramontane
