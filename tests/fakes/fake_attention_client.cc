#include "tests/fakes/fake_attention_client.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {

FakeAttentionClient::FakeAttentionClient(const FakeAttentionOptions& options)
    : options_(options),
      next_token_([vocab_size = options.vocab_size](std::span<const int32_t> token_ids) {
        return DefaultNextToken(token_ids, vocab_size);
      }),
      pool_(std::make_unique<KvBlockPool>(options.num_blocks, options.block_size)) {}

FakeAttentionClient::FakeSequence::FakeSequence(const SequenceSpec& sequence_spec,
                                                KvBlockPool* pool)
    : spec(sequence_spec),
      pages(pool, std::span(spec.token_ids).first(static_cast<size_t>(spec.max_cached_tokens))),
      token_ids(spec.token_ids.begin(), spec.token_ids.begin() + pages.num_tokens()) {}

int32_t FakeAttentionClient::DefaultNextToken(std::span<const int32_t> token_ids, int vocab_size) {
  const auto mixed =
      static_cast<int64_t>(token_ids.back()) * 31 + static_cast<int64_t>(token_ids.size()) * 7;
  return 3 + static_cast<int32_t>(mixed % (vocab_size - 3));
}

absl::StatusOr<int> FakeAttentionClient::AddSequence(const SequenceSpec& spec) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (sequences_.count(spec.id) != 0) return absl::InvalidArgumentError("id in use");
  if (spec.max_total_tokens < 1 || pool_->BlocksFor(spec.max_total_tokens) > pool_->num_blocks()) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_total_tokens ", spec.max_total_tokens, " can never fit"));
  }
  const FakeSequence& added = sequences_.try_emplace(spec.id, spec, pool_.get()).first->second;
  return static_cast<int>(added.token_ids.size());
}

absl::StatusOr<StepResult> FakeAttentionClient::Step(const StepRequest& request) {
  std::function<void(const StepRequest&)> on_step;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_step = on_step_;
  }
  if (on_step != nullptr) on_step(request);

  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::Status valid = CheckStep(request);
  if (!valid.ok()) return valid;
  const absl::Status begun = BeginStep(request);
  if (!begun.ok()) {
    for (const SequenceChunk& chunk : request.chunks) sequences_.at(chunk.id).pages.Trim();
    return begun;
  }
  StepResult result;
  for (const SequenceChunk& chunk : request.chunks) {
    result.chunks.push_back(Run(sequences_.at(chunk.id), chunk));
  }
  steps_.push_back(request);
  return result;
}

absl::Status FakeAttentionClient::CheckStep(const StepRequest& request) const {
  std::set<SequenceId> ids;
  for (const SequenceChunk& chunk : request.chunks) {
    const auto found = sequences_.find(chunk.id);
    if (found == sequences_.end() || !ids.insert(chunk.id).second) {
      return absl::InvalidArgumentError(absl::StrCat("sequence ", chunk.id, ": unknown or twice"));
    }
    const FakeSequence& sequence = found->second;
    const size_t after = sequence.token_ids.size() + chunk.token_ids.size();
    if (chunk.token_ids.empty() || (!chunk.target_token_ids.empty() &&
                                    chunk.target_token_ids.size() != chunk.token_ids.size())) {
      return absl::InvalidArgumentError("tokens and targets do not fit");
    }
    if (chunk.first_position != static_cast<int>(sequence.token_ids.size()) ||
        after > static_cast<size_t>(sequence.spec.max_total_tokens)) {
      return absl::FailedPreconditionError("not the next position, or past the limit");
    }
  }
  return absl::OkStatus();
}

absl::Status FakeAttentionClient::BeginStep(const StepRequest& request) {
  for (const SequenceChunk& chunk : request.chunks) {
    FakeSequence& sequence = sequences_.at(chunk.id);
    if (!sequence.pages.Extend(
            static_cast<int64_t>(sequence.token_ids.size() + chunk.token_ids.size()))) {
      return absl::ResourceExhaustedError("too few KV blocks are free");
    }
  }
  if (failures_.empty()) return absl::OkStatus();
  absl::Status failure = std::move(failures_.front());
  failures_.pop_front();
  return failure;
}

ChunkResult FakeAttentionClient::Run(FakeSequence& sequence, const SequenceChunk& chunk) {
  const SequenceSpec& spec = sequence.spec;
  sequence.token_ids.insert(sequence.token_ids.end(), chunk.token_ids.begin(),
                            chunk.token_ids.end());
  sequence.pages.Fill(chunk.token_ids);
  ChunkResult result;
  result.id = chunk.id;
  for (const int32_t target : chunk.target_token_ids) {
    if (target >= 0) result.targets.push_back(Logprob(target, spec.num_top_logprobs));
  }
  if (chunk.sample) {
    int32_t token_id = next_token_(sequence.token_ids);
    if (const uint64_t seed = spec.sampling.seed; seed != 0) {
      const auto others = static_cast<uint64_t>(options_.vocab_size - 3);
      token_id = 3 + static_cast<int32_t>((static_cast<uint64_t>(token_id) + seed) % others);
    }
    result.sampled.emplace();
    result.sampled->token_id = token_id;
    if (spec.want_logprobs) result.sampled = Logprob(token_id, spec.num_top_logprobs);
  }
  if (spec.want_routing) {
    for (size_t row = 0; row < chunk.token_ids.size(); ++row) {
      for (int i = 0; i < options_.num_layers * options_.top_k; ++i) {
        result.routing.expert_ids.push_back(i % options_.top_k);
        result.routing.gating_weights.push_back(1.0f / static_cast<float>(options_.top_k));
      }
    }
  }
  return result;
}

// A uniform model: every token has the same log-probability, and the first ids are the likeliest.
TokenLogprob FakeAttentionClient::Logprob(int32_t token_id, int num_top) const {
  TokenLogprob result;
  result.token_id = token_id;
  result.logprob = -std::log(static_cast<float>(options_.vocab_size));
  for (int32_t id = 0; id < std::min(num_top, options_.vocab_size); ++id) {
    result.top.emplace_back(id, result.logprob);
  }
  return result;
}

void FakeAttentionClient::ReleaseSequence(SequenceId id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sequences_.erase(id);
}

KvCacheUsage FakeAttentionClient::kv_cache_usage() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {.num_blocks = options_.num_blocks,
          .num_free_blocks = pool_->num_free_blocks(),
          .block_size = options_.block_size};
}

absl::Status FakeAttentionClient::readiness() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return readiness_;
}

uint64_t FakeAttentionClient::incarnation() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return incarnation_;
}

void FakeAttentionClient::set_readiness(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  readiness_ = std::move(status);
}

void FakeAttentionClient::LoseEverything() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++incarnation_;
  sequences_.clear();
  pool_ = std::make_unique<KvBlockPool>(options_.num_blocks, options_.block_size);
}

void FakeAttentionClient::set_next_token(NextToken next_token) {
  const std::lock_guard<std::mutex> lock(mutex_);
  next_token_ = std::move(next_token);
}

void FakeAttentionClient::FailNextStep(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  failures_.push_back(std::move(status));
}

void FakeAttentionClient::set_on_step(std::function<void(const StepRequest&)> on_step) {
  const std::lock_guard<std::mutex> lock(mutex_);
  on_step_ = std::move(on_step);
}

std::vector<StepRequest> FakeAttentionClient::steps() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return steps_;
}

size_t FakeAttentionClient::num_sequences() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sequences_.size();
}

}  // namespace tramontane
