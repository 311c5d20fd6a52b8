#include "attention_worker/decoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/finite_rows.h"
#include "kernels/matmul.h"
#include "kernels/paged_attention.h"
#include "kernels/rms_norm.h"
#include "kernels/rope_and_cache.h"
#include "kernels/round_up.h"
#include "kernels/route_topk.h"
#include "kernels/routed_experts.h"
#include "model/check.h"

namespace tramontane {

absl::StatusOr<absl::Duration> Decoder::RunLayers(const TokenBatch& batch, absl::Time deadline,
                                                  const LayerTracer& tracer) {
  if (parts_.local_experts != nullptr) {
    const absl::Status run = RunWithLocalExperts(batch, deadline, tracer);
    if (!run.ok()) return run;
    return absl::ZeroDuration();
  }
  parts_.dispatcher->BeginStep();
  absl::StatusOr<absl::Duration> expert_wait = RunWithWorkers(batch, deadline, tracer);
  // Else it is given again.
  if (!absl::IsAborted(expert_wait.status())) parts_.dispatcher->EndStep();
  return expert_wait;
}

absl::StatusOr<absl::Duration> Decoder::RunWithWorkers(const TokenBatch& batch, absl::Time deadline,
                                                       const LayerTracer& tracer) {
  absl::Duration expert_wait;
  const bool ping_pong = ping_pong_min_rows_ > 0 && batch.num_rows() >= ping_pong_min_rows_;
  std::vector<MicroBatch> micro_batches =
      CutIntoMicroBatches(batch, ping_pong && tracer == nullptr ? 2 : 1);
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
      Route(layer, rows);
      const absl::Status sent = SendToExperts(layer, rows, deadline);
      if (!sent.ok()) return sent;
    }
  }
  return expert_wait;
}

absl::Status Decoder::RunWithLocalExperts(const TokenBatch& batch, absl::Time deadline,
                                          const LayerTracer& tracer) {
  const std::vector<MicroBatch> whole = CutIntoMicroBatches(batch, 1);
  const MicroBatch& rows = whole.front();
  Embed(batch);
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the deadline of the step passed before layer ", layer));
    }
    RunAttention(layer, rows);
    Route(layer, rows);
    RunLocalExperts(layer, rows, tracer != nullptr);
    if (tracer == nullptr) continue;
    CopyRoutingToHost(rows);
    const absl::Status traced = TraceLayer(layer, rows, tracer);
    if (!traced.ok()) return traced;
  }
  CopyRoutingToHost(rows);
  const absl::Status finished = Finish();
  if (!finished.ok()) return finished;
  for (int layer = 0; layer < config_.num_layers; ++layer) {
    const absl::Status routed = CheckRouting(layer, rows);
    if (!routed.ok()) return routed;
    parts_.observer->OnRouted(layer,
                              CountTokensPerExpert(RoutedTo(layer, rows), config_.num_experts));
  }
  return absl::OkStatus();
}

void Decoder::RunAttention(int layer, const MicroBatch& rows) {
  const LayerWeights& weights = parts_.weights->layers[layer];
  const KvLayer cache = parts_.cache->Layer(layer);
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
  const std::byte* const sent_rows =  // and their routing
      ForHost(activations_.normed, activations_.sent, rows.first_row, rows.num_rows);
  const absl::Status finished = Finish();
  if (!finished.ok()) return finished;
  const absl::Status routed = CheckRouting(layer, rows);
  if (!routed.ok()) return routed;
  absl::StatusOr<ExpertDispatcher::Pending> experts =
      parts_.dispatcher->Send(RoutedTo(layer, rows), sent_rows, deadline);
  if (!experts.ok()) return experts.status();
  rows.experts = *std::move(experts);
  return absl::OkStatus();
}

absl::Status Decoder::CombineExperts(int layer, MicroBatch& rows, const LayerTracer& tracer,
                                     absl::Duration& expert_wait) {
  absl::StatusOr<DispatchedRows> answers = parts_.dispatcher->Await(std::move(rows.experts));
  if (!answers.ok()) return answers.status();
  expert_wait += answers->wait;
  AddExpertRows(answers->expert_rows.data(), layer, rows, tracer != nullptr);
  if (!backend_->host_sees_memory()) in_use_.push_back(*std::move(answers));
  return tracer != nullptr ? TraceLayer(layer, rows, tracer) : absl::OkStatus();
}

void Decoder::RunLocalExperts(int layer, const MicroBatch& rows, bool traced) {
  backend_->RoutedExperts({.experts = (*parts_.local_experts)[static_cast<size_t>(layer)],
                           .input = activations_.normed.row(rows.first_row),
                           .topk_expert_ids = RoutingOf(layer, rows).topk_expert_ids,
                           .output = activations_.expert_rows.row(rows.first_row),
                           .num_tokens = rows.num_rows,
                           .top_k = config_.top_k});
  AddExpertRows(local_rows_.data() + rows.first_row * config_.top_k, layer, rows, traced);
}

void Decoder::AddExpertRows(const std::byte* const* expert_rows, int layer, const MicroBatch& rows,
                            bool traced) {
  const int64_t first = rows.first_row;
  backend_->CombineExperts(
      {.expert_rows = expert_rows,
       .row_dtype = compute_dtype_,
       .gating_weights = RoutingOf(layer, rows).gating_weights,
       .residual = activations_.residual.row<float>(first),
       .moe_output = traced ? activations_.moe_output.row<float>(first) : nullptr,
       .num_tokens = rows.num_rows,
       .top_k = config_.top_k,
       .hidden_size = config_.hidden_size});
}

void Decoder::Embed(const TokenBatch& batch) {
  backend_->EmbedTokens({.embedding = &parts_.weights->embedding.view,
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

void Decoder::Route(int layer, const MicroBatch& rows) {
  const Routing routing = RoutingOf(layer, rows);
  backend_->MatMul({.input = activations_.normed.row(rows.first_row),
                    .weight = parts_.weights->layers[layer].gate.get(),
                    .output = routing.router_logits,
                    .num_rows = rows.num_rows});
  backend_->RouteTopK({.router_logits = routing.router_logits,
                       .topk_expert_ids = routing.topk_expert_ids,
                       .gating_weights = routing.gating_weights,
                       .num_tokens = rows.num_rows,
                       .num_experts = config_.num_experts,
                       .top_k = config_.top_k});
}

absl::Status Decoder::CheckRouting(int layer, const MicroBatch& rows) const {
  const auto* const logits =
      reinterpret_cast<const std::byte*>(HostRoutingOf(layer, rows).router_logits);
  if (RowIsFinite(logits, rows.num_rows * config_.num_experts, DType::kF32)) {
    return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("layer ", layer,
                                          ": the router's logits hold an infinity or a NaN; "
                                          "expected finite numbers: are the checkpoint's weights "
                                          "finite?"));
}

absl::Status Decoder::TraceLayer(int layer, const MicroBatch& rows, const LayerTracer& tracer) {
  ForHost(activations_.residual, activations_.layer_output, rows.first_row, rows.num_rows);
  const absl::Status finished = Finish();
  if (!finished.ok()) return finished;
  tracer(Trace(layer, rows));
  return absl::OkStatus();
}

RoutedTokens Decoder::RoutedTo(int layer, const MicroBatch& rows) const {
  return {.layer = layer,
          .num_tokens = rows.num_rows,
          .top_k = config_.top_k,
          .topk_expert_ids = {HostRoutingOf(layer, rows).topk_expert_ids,
                              static_cast<size_t>(rows.num_rows * config_.top_k)}};
}

LayerTrace Decoder::Trace(int layer, const MicroBatch& rows) const {
  const int64_t first = rows.first_row;
  const Routing routing = HostRoutingOf(layer, rows);
  const auto num_rows = static_cast<size_t>(rows.num_rows);
  const auto hidden = num_rows * config_.hidden_size;
  const auto choices = num_rows * config_.top_k;
  const RowBuffer& output =
      backend_->host_sees_memory() ? activations_.residual : activations_.layer_output;
  return {.layer = layer,
          .num_rows = rows.num_rows,
          .router_logits = {routing.router_logits, num_rows * config_.num_experts},
          .topk_expert_ids = {routing.topk_expert_ids, choices},
          .gating_weights = {routing.gating_weights, choices},
          .moe_output = {activations_.moe_output.row<float>(first), hidden},
          .layer_output = {output.row<float>(first), hidden}};
}

Routing Decoder::RoutingOf(int layer, const MicroBatch& rows) const {
  return RoutingIn(activations_.routing, activations_.normed, layer, rows);
}

Routing Decoder::HostRoutingOf(int layer, const MicroBatch& rows) const {
  if (backend_->host_sees_memory()) return RoutingOf(layer, rows);
  return RoutingIn(activations_.host_routing, activations_.sent, layer, rows);
}

Routing Decoder::RoutingIn(const RowBuffer& of_layers, const RowBuffer& behind_rows, int layer,
                           const MicroBatch& rows) const {
  if (parts_.local_experts != nullptr) {
    return RoutingAt(of_layers.row(rows.first_row), layer, config_.num_layers, rows.num_rows,
                     config_);
  }
  const auto behind = RoundUp(NormedBytes(rows.num_rows), sizeof(float));
  return RoutingAt(behind_rows.row(rows.first_row) + behind, 0, 1, rows.num_rows, config_);
}

int64_t Decoder::NormedBytes(int64_t num_rows) const {
  return num_rows * config_.hidden_size * static_cast<int64_t>(DTypeSize(compute_dtype_));
}

void Decoder::CopyRoutingToHost(const MicroBatch& rows) {
  ForHost(activations_.routing, activations_.host_routing, rows.first_row,
          config_.num_layers * rows.num_rows);
}

const std::byte* Decoder::ForHost(const RowBuffer& own, const RowBuffer& copies, int64_t first_row,
                                  int64_t num_rows) {
  if (backend_->host_sees_memory()) return own.row(first_row);
  backend_->Copy(own.row(first_row), copies.row(first_row),
                 static_cast<size_t>(num_rows) * own.row_bytes);
  return copies.row(first_row);
}

absl::Status Decoder::Finish() {
  absl::Status finished = backend_->Finish();
  in_use_.clear();
  return finished;
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const MixtralConfig& config,
                                                         const DecoderParts& parts, int max_rows,
                                                         int ping_pong_min_rows) {
  std::unique_ptr<Decoder> decoder(new Decoder(config, parts, max_rows, ping_pong_min_rows));
  absl::StatusOr<Activations> activations = AllocateActivations(
      config, {.max_rows = max_rows, .local_experts = parts.local_experts != nullptr},
      parts.backend);
  if (!activations.ok()) return activations.status();
  decoder->activations_ = *std::move(activations);
  if (parts.local_experts != nullptr) {
    const size_t row_bytes = decoder->activations_.expert_rows.row_bytes / config.top_k;
    for (int64_t pair = 0; pair < int64_t{max_rows} * config.top_k; ++pair) {
      decoder->local_rows_.push_back(decoder->activations_.expert_rows.memory.bytes() +
                                     static_cast<size_t>(pair) * row_bytes);
    }
  }
  if (!parts.backend->host_sees_memory()) {
    const absl::Status warm = decoder->WarmUp();
    if (!warm.ok()) return warm;
  }
  return decoder;
}

Decoder::Decoder(const MixtralConfig& config, const DecoderParts& parts, int max_rows,
                 int ping_pong_min_rows)
    : config_(config),
      compute_dtype_(parts.backend->compute_dtype()),
      max_logit_rows_(std::min(max_rows, kMaxLogitRows)),
      ping_pong_min_rows_(ping_pong_min_rows),
      parts_(parts),
      backend_(parts.backend) {}

// Block 0 of the cache belongs to nobody yet: what it holds then is never read.
absl::Status Decoder::WarmUp() {
  const std::vector<int32_t> page_table = {0};
  TokenBatch batch;
  batch.token_ids = {0};
  batch.sequences.push_back(
      {.first_row = 0, .num_rows = 1, .first_position = 0, .page_table = page_table});
  const std::vector<MicroBatch> whole = CutIntoMicroBatches(batch, 1);
  Embed(batch);
  RunAttention(0, whole.front());
  Route(0, whole.front());
  if (parts_.local_experts != nullptr) RunLocalExperts(0, whole.front(), /*traced=*/false);
  const LogitRow row;
  const TokenSampling sampling;
  absl::Status done = ComputeTokens({&row, 1}, {}).status();
  if (done.ok()) done = ComputeTokens({&row, 1}, {&sampling, 1}).status();
  return done.ok() ? ComputeLogits({&row, 1}).status() : done;
}

}  // namespace tramontane
