#include "attention_worker/attention_worker.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/attention_sequence.h"
#include "attention_worker/attention_weights.h"
#include "attention_worker/decoder.h"
#include "attention_worker/expert_dispatcher.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "attention_worker/token_batch.h"
#include "attention_worker/token_chooser.h"
#include "model/config.h"

namespace tramontane {
namespace {

absl::Status CheckOptions(const AttentionWorkerOptions& options) {
  if (options.max_step_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_step_tokens: expected 1 or more, found ", options.max_step_tokens));
  }
  if (options.ping_pong_min_rows < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ping_pong_min_rows: expected 0 (never) or more, found ", options.ping_pong_min_rows));
  }
  if (options.expert_timeout_ms < 0 || options.expert_wait_timeout_ms < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expert_timeout_ms, expert_wait_timeout_ms: expected 0 (none) or more, found ",
                     options.expert_timeout_ms, ", ", options.expert_wait_timeout_ms));
  }
  if (!(options.hedge_after >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("hedge_after: expected 0 (never) or more, found ", options.hedge_after));
  }
  return absl::OkStatus();
}

// Everything in this process but the experts' clients. What is made first is used by what follows.
class LocalAttentionWorker : public AttentionWorker {
 public:
  LocalAttentionWorker(std::shared_ptr<const Checkpoint> checkpoint, AttentionWeights weights,
                       std::unique_ptr<KvCache> cache, ThreadPool* threads, StepObserver* observer,
                       const AttentionWorkerOptions& options)
      : checkpoint_(std::move(checkpoint)),
        config_(checkpoint_->config()),
        options_(options),
        observer_(observer),
        weights_(std::move(weights)),
        cache_(std::move(cache)),
        chooser_(config_.vocab_size, threads) {}

  // The parts that can fail.
  absl::Status Build(Backend* backend, ExpertDirectory* directory);

  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override;
  absl::StatusOr<StepResult> Step(const StepRequest& request) override;
  void EndStepsBy(absl::Time end) override { dispatcher_->EndBy(end); }
  void ReleaseSequence(SequenceId id) override { sequences_.erase(id); }
  KvCacheUsage kv_cache_usage() const override;
  void set_layer_tracer(LayerTracer tracer) override { tracer_ = std::move(tracer); }

 private:
  // The chunks' sequences, in order. NOT_FOUND for one that was not added, INVALID_ARGUMENT for one
  // given twice or too many rows, and as AttentionSequence::CheckChunk.
  absl::StatusOr<std::vector<AttentionSequence*>> FindSequences(const StepRequest& request);
  // Step, but that a failed one leaves the blocks with the sequences.
  absl::StatusOr<StepResult> RunStep(const StepRequest& request,
                                     const std::vector<AttentionSequence*>& sequences);
  // KV blocks for all chunks. RESOURCE_EXHAUSTED where too few are free.
  absl::Status MakeRoom(const StepRequest& request,
                        const std::vector<AttentionSequence*>& sequences);
  // Copies a layer's routing to the chunks that want it.
  void RecordRouting(const std::vector<AttentionSequence*>& sequences, const TokenBatch& batch,
                     const LayerTrace& trace, StepResult& result) const;
  // Log-probabilities and sampled tokens of all rows that want them.
  absl::Status ChooseTokens(const StepRequest& request,
                            const std::vector<AttentionSequence*>& sequences,
                            const TokenBatch& batch, StepResult& result);

  const std::shared_ptr<const Checkpoint> checkpoint_;  // the embedding points into it
  const MixtralConfig config_;
  const AttentionWorkerOptions options_;
  StepObserver* const observer_;
  const AttentionWeights weights_;
  const std::unique_ptr<KvCache> cache_;  // its pool outlives the sequences
  std::unique_ptr<ExpertDispatcher> dispatcher_;
  std::unique_ptr<Decoder> decoder_;
  TokenChooser chooser_;
  LayerTracer tracer_;
  std::map<SequenceId, AttentionSequence> sequences_;
};

absl::Status LocalAttentionWorker::Build(Backend* backend, ExpertDirectory* directory) {
  dispatcher_ = std::make_unique<ExpertDispatcher>(
      config_, directory, observer_, backend,
      ExpertDispatcherOptions{
          .row_dtype = backend->compute_dtype(),
          .max_tokens = options_.max_step_tokens,
          .timeout = absl::Milliseconds(options_.expert_timeout_ms),
          .expert_wait_timeout = absl::Milliseconds(options_.expert_wait_timeout_ms),
          .expert_wait_slice = absl::Milliseconds(options_.expert_wait_slice_ms),
          .hedge_after = options_.hedge_after,
          .arrivals = options_.arrivals});
  absl::StatusOr<std::unique_ptr<Decoder>> decoder =
      Decoder::Create(config_,
                      {.weights = &weights_,
                       .cache = cache_.get(),
                       .dispatcher = dispatcher_.get(),
                       .local_experts = options_.local_experts,
                       .observer = observer_,
                       .backend = backend},
                      options_.max_step_tokens, options_.ping_pong_min_rows);
  if (!decoder.ok()) return decoder.status();
  decoder_ = *std::move(decoder);
  return absl::OkStatus();
}

absl::StatusOr<int> LocalAttentionWorker::AddSequence(const SequenceSpec& spec) {
  if (sequences_.count(spec.id) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("sequence id ", spec.id, " is in use"));
  }
  const KvBlockPool& pool = cache_->pool();
  const int64_t capacity =
      std::min<int64_t>(config_.max_position_embeddings, pool.num_blocks() * pool.block_size());
  if (spec.max_total_tokens < 1 || spec.max_total_tokens > capacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence ", spec.id, ": expected max_total_tokens in [1, ", capacity,
                     "], the lesser of the model's context and the KV cache's capacity; found ",
                     spec.max_total_tokens));
  }
  if (spec.token_ids.size() > static_cast<size_t>(spec.max_total_tokens)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence ", spec.id, ": expected at most ", spec.max_total_tokens,
                     " token ids, its max_total_tokens; found ", spec.token_ids.size()));
  }
  for (const int32_t id : spec.token_ids) {
    if (id < 0 || id >= config_.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", spec.id,
                                                     ": expected token ids in [0, ",
                                                     config_.vocab_size, "), found ", id));
    }
  }
  const auto [added, inserted] =
      sequences_.try_emplace(spec.id, spec, &cache_->pool(), config_.vocab_size);
  return added->second.tokens_run();
}

absl::StatusOr<StepResult> LocalAttentionWorker::Step(const StepRequest& request) {
  const absl::StatusOr<std::vector<AttentionSequence*>> sequences = FindSequences(request);
  if (!sequences.ok()) return sequences.status();
  absl::StatusOr<StepResult> result = RunStep(request, *sequences);
  if (!result.ok()) {
    // Whoever plans the next step counts them as free.
    for (AttentionSequence* sequence : *sequences) sequence->GiveBackRoom();
  }
  return result;
}

absl::StatusOr<StepResult> LocalAttentionWorker::RunStep(
    const StepRequest& request, const std::vector<AttentionSequence*>& sequences) {
  const absl::Time start = absl::Now();
  const absl::Status room = MakeRoom(request, sequences);
  if (!room.ok()) return room;

  TokenBatch batch;
  StepResult result;
  bool want_routing = false;
  for (size_t i = 0; i < request.chunks.size(); ++i) {
    batch.Append(request.chunks[i], sequences[i]->page_table());
    result.chunks.emplace_back().id = request.chunks[i].id;
    want_routing |= sequences[i]->spec().want_routing;
  }
  LayerTracer tracer;
  if (want_routing || tracer_ != nullptr) {
    tracer = [&](const LayerTrace& trace) {
      RecordRouting(sequences, batch, trace, result);
      if (tracer_ != nullptr) tracer_(trace);
    };
  }
  const absl::StatusOr<absl::Duration> expert_wait =
      decoder_->RunLayers(batch, request.deadline, tracer);
  if (!expert_wait.ok()) return expert_wait.status();
  const absl::Status chosen = ChooseTokens(request, sequences, batch, result);
  if (!chosen.ok()) return chosen;

  for (size_t i = 0; i < request.chunks.size(); ++i) sequences[i]->Advance(request.chunks[i]);
  observer_->OnStep(batch.num_rows(), absl::Now() - start, *expert_wait);
  return result;
}

absl::StatusOr<std::vector<AttentionSequence*>> LocalAttentionWorker::FindSequences(
    const StepRequest& request) {
  std::vector<AttentionSequence*> sequences;
  std::set<SequenceId> ids;
  size_t num_rows = 0;
  for (const SequenceChunk& chunk : request.chunks) {
    const auto found = sequences_.find(chunk.id);
    if (found == sequences_.end()) {
      return absl::NotFoundError(absl::StrCat("sequence ", chunk.id, " was not added"));
    }
    if (!ids.insert(chunk.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence ", chunk.id, ": expected one chunk a step, found two"));
    }
    const absl::Status valid = found->second.CheckChunk(chunk);
    if (!valid.ok()) return valid;
    sequences.push_back(&found->second);
    num_rows += chunk.token_ids.size();
  }
  if (num_rows < 1 || num_rows > static_cast<size_t>(options_.max_step_tokens)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a step: expected rows in [1, ", options_.max_step_tokens, "], found ", num_rows));
  }
  return sequences;
}

absl::Status LocalAttentionWorker::MakeRoom(const StepRequest& request,
                                            const std::vector<AttentionSequence*>& sequences) {
  for (size_t i = 0; i < request.chunks.size(); ++i) {
    if (sequences[i]->MakeRoom(request.chunks[i])) continue;
    return absl::ResourceExhaustedError(
        absl::StrCat("sequence ", request.chunks[i].id, ": no KV blocks for ",
                     request.chunks[i].token_ids.size(), " more tokens, ",
                     cache_->pool().num_free_blocks(), " are free; release another sequence"));
  }
  return absl::OkStatus();
}

void LocalAttentionWorker::RecordRouting(const std::vector<AttentionSequence*>& sequences,
                                         const TokenBatch& batch, const LayerTrace& trace,
                                         StepResult& result) const {
  const auto top_k = static_cast<size_t>(config_.top_k);
  const auto num_layers = static_cast<size_t>(config_.num_layers);
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (!sequences[i]->spec().want_routing) continue;
    const auto num_rows = static_cast<size_t>(batch.sequences[i].num_rows);
    const auto first_row = static_cast<size_t>(batch.sequences[i].first_row);
    ChunkRouting& routing = result.chunks[i].routing;
    routing.expert_ids.resize(num_rows * num_layers * top_k);
    routing.gating_weights.resize(num_rows * num_layers * top_k);
    for (size_t row = 0; row < num_rows; ++row) {
      const size_t from = (first_row + row) * top_k;
      const size_t to = (row * num_layers + static_cast<size_t>(trace.layer)) * top_k;
      std::copy_n(trace.topk_expert_ids.begin() + from, top_k, routing.expert_ids.begin() + to);
      std::copy_n(trace.gating_weights.begin() + from, top_k, routing.gating_weights.begin() + to);
    }
  }
}

absl::Status LocalAttentionWorker::ChooseTokens(const StepRequest& request,
                                                const std::vector<AttentionSequence*>& sequences,
                                                const TokenBatch& batch, StepResult& result) {
  const std::span<const LogitRow> all(batch.logit_rows);
  for (size_t begin = 0; begin < all.size();) {
    const std::span<const LogitRow> rows = all.subspan(
        begin, std::min(all.size() - begin, static_cast<size_t>(decoder_->max_logit_rows())));
    begin += rows.size();
    if (decoder_->prefers_tokens() && TokenChooser::AllPlain(sequences, rows)) {
      const absl::StatusOr<const int32_t*> ids =
          decoder_->ComputeTokens(rows, TokenChooser::PlainSampling(request, sequences, rows));
      if (!ids.ok()) return ids.status();
      const absl::Status taken = TokenChooser::TakeTokens(request, rows, *ids, result);
      if (!taken.ok()) return taken;
      continue;
    }
    const absl::StatusOr<const float*> logits = decoder_->ComputeLogits(rows);
    if (!logits.ok()) return logits.status();
    const absl::Status chosen = chooser_.Choose(request, sequences, rows, *logits, result);
    if (!chosen.ok()) return chosen;
  }
  return absl::OkStatus();
}

KvCacheUsage LocalAttentionWorker::kv_cache_usage() const {
  const KvBlockPool& pool = cache_->pool();
  return {.num_blocks = pool.num_blocks(),
          .num_free_blocks = pool.num_free_blocks(),
          .block_size = pool.block_size()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionWorker>> AttentionWorker::Create(
    std::shared_ptr<const Checkpoint> checkpoint, Backend* backend, ExpertDirectory* directory,
    StepObserver* observer, const AttentionWorkerOptions& options) {
  const absl::Status valid = CheckOptions(options);
  if (!valid.ok()) return valid;
  absl::StatusOr<AttentionWeights> weights = AttentionWeights::Load(*checkpoint, backend);
  if (!weights.ok()) return weights.status();
  // After the weights, so that the default capacity sees the memory that they leave.
  absl::StatusOr<std::unique_ptr<KvCache>> cache =
      KvCache::Create(checkpoint->config(),
                      {.dtype = backend->compute_dtype(),
                       .block_size = options.kv_block_size,
                       .capacity_tokens = options.kv_cache_tokens},
                      backend);
  if (!cache.ok()) return cache.status();
  auto worker = std::make_unique<LocalAttentionWorker>(std::move(checkpoint), *std::move(weights),
                                                       *std::move(cache), backend->host_threads(),
                                                       observer, options);
  const absl::Status built = worker->Build(backend, directory);
  if (!built.ok()) return built;
  return worker;
}

}  // namespace tramontane
