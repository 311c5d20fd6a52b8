#include "attention_worker/decoder.h"

#include <algorithm>
#include <utility>

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

}  // namespace

absl::StatusOr<absl::Duration> Decoder::RunLayers(const TokenBatch& batch, absl::Time deadline,
                                                  const LayerTracer& tracer) {
  const int64_t num_rows = batch.num_rows();
  absl::Duration expert_wait;
  Embed(batch);
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    const LayerWeights& weights = weights_->layers[layer];
    const KvLayer cache = cache_->Layer(layer);

    Normalise(weights.input_norm, num_rows);
    ProjectQkv(weights, num_rows);
    RotateAndCache(cache, batch);
    Attend(cache, batch);
    AddOutputProjection(weights, num_rows);

    Normalise(weights.post_attention_norm, num_rows);
    const absl::Status routed = Route(layer, weights, num_rows);
    if (!routed.ok()) return routed;
    absl::StatusOr<DispatchedRows> answers = DispatchToExperts(layer, num_rows, deadline);
    if (!answers.ok()) return answers.status();
    CombineExperts(*answers, num_rows, tracer != nullptr);

    expert_wait += answers->wait;
    if (tracer != nullptr) tracer(Trace(layer, num_rows));
  }
  return expert_wait;
}

const float* Decoder::ComputeLogits(std::span<const LogitRow> rows) {
  TRAMONTANE_CHECK(static_cast<int>(rows.size()) <= max_logit_rows_);
  const auto row_bytes = static_cast<size_t>(config_.hidden_size) * DTypeSize(compute_dtype_);
  // Rows that lie together are normalised together: the final norm also gathers.
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end].row == rows[end - 1].row + 1) ++end;
    backend_->RmsNorm({.input = activations_.residual.as<float>() +
                                int64_t{rows[begin].row} * config_.hidden_size,
                       .weight = weights_->final_norm.as<float>(),
                       .output = activations_.normed.bytes() + begin * row_bytes,
                       .output_dtype = compute_dtype_,
                       .num_tokens = static_cast<int64_t>(end - begin),
                       .hidden_size = config_.hidden_size,
                       .epsilon = config_.rms_norm_eps});
    begin = end;
  }
  backend_->MatMul({.input = activations_.normed.bytes(),
                    .weight = weights_->lm_head.get(),
                    .output = activations_.logits.as<float>(),
                    .num_rows = static_cast<int64_t>(rows.size())});
  return activations_.logits.as<float>();
}

void Decoder::Embed(const TokenBatch& batch) {
  backend_->EmbedTokens({.embedding = &weights_->embedding,
                         .token_ids = batch.token_ids.data(),
                         .hidden_states = activations_.residual.as<float>(),
                         .num_tokens = batch.num_rows()});
}

void Decoder::Normalise(const Buffer& weight, int64_t num_rows) {
  backend_->RmsNorm({.input = activations_.residual.as<float>(),
                     .weight = weight.as<float>(),
                     .output = activations_.normed.bytes(),
                     .output_dtype = compute_dtype_,
                     .num_tokens = num_rows,
                     .hidden_size = config_.hidden_size,
                     .epsilon = config_.rms_norm_eps});
}

void Decoder::ProjectQkv(const LayerWeights& weights, int64_t num_rows) {
  backend_->MatMul({.input = activations_.normed.bytes(),
                    .weight = weights.qkv.get(),
                    .output = activations_.qkv.as<float>(),
                    .num_rows = num_rows});
}

void Decoder::RotateAndCache(const KvLayer& cache, const TokenBatch& batch) {
  backend_->RopeAndCache({.qkv = activations_.qkv.as<float>(),
                          .num_heads = config_.num_heads,
                          .rope_theta = config_.rope_theta,
                          .cache = cache,
                          .sequences = batch.sequences,
                          .num_tokens = batch.num_rows()});
}

void Decoder::Attend(const KvLayer& cache, const TokenBatch& batch) {
  backend_->PagedAttention({.qkv = activations_.qkv.as<float>(),
                            .num_heads = config_.num_heads,
                            .sliding_window = config_.sliding_window,
                            .cache = cache,
                            .sequences = batch.sequences,
                            .num_tokens = batch.num_rows(),
                            .output = activations_.attended.bytes(),
                            .output_dtype = compute_dtype_});
}

void Decoder::AddOutputProjection(const LayerWeights& weights, int64_t num_rows) {
  backend_->MatMul({.input = activations_.attended.bytes(),
                    .weight = weights.output.get(),
                    .output = activations_.residual.as<float>(),
                    .num_rows = num_rows,
                    .accumulate = true});
}

absl::Status Decoder::Route(int layer, const LayerWeights& weights, int64_t num_rows) {
  backend_->MatMul({.input = activations_.normed.bytes(),
                    .weight = weights.gate.get(),
                    .output = activations_.router_logits.as<float>(),
                    .num_rows = num_rows});
  if (!RowIsFinite(activations_.router_logits.bytes(), num_rows * config_.num_experts,
                   DType::kF32)) {
    return absl::InternalError(
        absl::StrCat("layer ", layer,
                     ": the router's logits hold an infinity or a NaN; expected "
                     "finite numbers: are the checkpoint's weights finite?"));
  }
  backend_->RouteTopK({.router_logits = activations_.router_logits.as<float>(),
                       .topk_expert_ids = activations_.topk_expert_ids.as<int32_t>(),
                       .gating_weights = activations_.gating_weights.as<float>(),
                       .num_tokens = num_rows,
                       .num_experts = config_.num_experts,
                       .top_k = config_.top_k});
  return absl::OkStatus();
}

absl::StatusOr<DispatchedRows> Decoder::DispatchToExperts(int layer, int64_t num_rows,
                                                          absl::Time deadline) {
  const RoutedTokens routed = {
      .layer = layer,
      .num_tokens = num_rows,
      .top_k = config_.top_k,
      .topk_expert_ids = Trace(layer, num_rows).topk_expert_ids,
  };
  return dispatcher_->Dispatch(routed, activations_.normed.bytes(), deadline);
}

void Decoder::CombineExperts(const DispatchedRows& answers, int64_t num_rows,
                             bool keep_moe_output) {
  backend_->CombineExperts(
      {.expert_rows = answers.expert_rows.data(),
       .row_dtype = compute_dtype_,
       .gating_weights = activations_.gating_weights.as<float>(),
       .residual = activations_.residual.as<float>(),
       .moe_output = keep_moe_output ? activations_.moe_output.as<float>() : nullptr,
       .num_tokens = num_rows,
       .top_k = config_.top_k,
       .hidden_size = config_.hidden_size});
}

LayerTrace Decoder::Trace(int layer, int64_t num_rows) const {
  const auto rows = static_cast<size_t>(num_rows);
  const auto hidden = rows * config_.hidden_size;
  const auto choices = rows * config_.top_k;
  return {.layer = layer,
          .num_rows = num_rows,
          .router_logits = {activations_.router_logits.as<float>(), rows * config_.num_experts},
          .topk_expert_ids = {activations_.topk_expert_ids.as<int32_t>(), choices},
          .gating_weights = {activations_.gating_weights.as<float>(), choices},
          .moe_output = {activations_.moe_output.as<float>(), hidden},
          .layer_output = {activations_.residual.as<float>(), hidden}};
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const MixtralConfig& config,
                                                         const AttentionWeights* weights,
                                                         KvCache* cache,
                                                         ExpertDispatcher* dispatcher,
                                                         Backend* backend, int max_rows) {
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, weights, cache, dispatcher, backend, max_rows));
  const absl::Status allocated = decoder->Allocate(max_rows);
  if (!allocated.ok()) return allocated;
  return decoder;
}

Decoder::Decoder(const MixtralConfig& config, const AttentionWeights* weights, KvCache* cache,
                 ExpertDispatcher* dispatcher, Backend* backend, int max_rows)
    : config_(config),
      compute_dtype_(backend->compute_dtype()),
      max_logit_rows_(std::min(max_rows, kMaxLogitRows)),
      weights_(weights),
      cache_(cache),
      dispatcher_(dispatcher),
      backend_(backend) {}

absl::Status Decoder::Allocate(int max_rows) {
  const size_t compute_size = DTypeSize(compute_dtype_);
  const auto hidden = static_cast<size_t>(config_.hidden_size);
  const auto head_dim = static_cast<size_t>(config_.head_dim);
  const auto qkv = static_cast<size_t>(config_.num_heads + 2 * config_.num_kv_heads) * head_dim;
  const auto top_k = static_cast<size_t>(config_.top_k);
  const std::pair<Buffer*, size_t> bytes_of_a_row[] = {
      {&activations_.residual, hidden * sizeof(float)},
      {&activations_.normed, hidden * compute_size},
      {&activations_.qkv, qkv * sizeof(float)},
      {&activations_.attended, config_.num_heads * head_dim * compute_size},
      {&activations_.router_logits, config_.num_experts * sizeof(float)},
      {&activations_.topk_expert_ids, top_k * sizeof(int32_t)},
      {&activations_.gating_weights, top_k * sizeof(float)},
      {&activations_.moe_output, hidden * sizeof(float)},
  };
  for (const auto& [buffer, row_bytes] : bytes_of_a_row) {
    absl::StatusOr<Buffer> allocated =
        backend_->Allocate(static_cast<size_t>(max_rows) * row_bytes);
    if (!allocated.ok()) return allocated.status();
    *buffer = *std::move(allocated);
  }
  absl::StatusOr<Buffer> logits =
      backend_->Allocate(static_cast<size_t>(max_logit_rows_) * config_.vocab_size * sizeof(float));
  if (!logits.ok()) return logits.status();
  activations_.logits = *std::move(logits);
  return absl::OkStatus();
}

}  // namespace tramontane
