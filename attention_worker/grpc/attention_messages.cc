#include "attention_worker/grpc/attention_messages.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

using google::protobuf::RepeatedField;

// A longer timeout is as good as none.
constexpr uint64_t kMaxTimeoutUs = uint64_t{365} * 24 * 3'600 * 1'000'000;

bool FitsInt(uint64_t value) {
  return value <= static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
}

template <typename Ids>
void AddIds(const Ids& ids, RepeatedField<uint32_t>* field) {
  field->Reserve(field->size() + static_cast<int>(ids.size()));
  for (const int32_t id : ids) field->Add(static_cast<uint32_t>(id));
}

// False where one is no int32.
bool TakeIds(const RepeatedField<uint32_t>& field, std::vector<int32_t>& ids) {
  ids.reserve(static_cast<size_t>(field.size()));
  for (const uint32_t id : field) {
    if (!FitsInt(id)) return false;
    ids.push_back(static_cast<int32_t>(id));
  }
  return true;
}

absl::Status OutOfRange(uint64_t sequence_id, absl::string_view field, const absl::AlphaNum& found,
                        absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(
      "sequence ", sequence_id, ": ", field, ": expected ", expected, ", found ", found.Piece()));
}

void ToMessage(const SamplingParams& params, v1::SamplingParams* message) {
  message->set_temperature(params.temperature);
  message->set_top_k(static_cast<uint32_t>(params.top_k));
  message->set_top_p(params.top_p);
  message->set_min_p(params.min_p);
  message->set_repetition_penalty(params.repetition_penalty);
  for (const auto& [id, bias] : params.logit_bias) {
    message->add_logit_bias_token_ids(static_cast<uint32_t>(id));
    message->add_logit_biases(bias);
  }
  message->set_seed(params.seed);
}

// Comparisons that do not hold for a NaN.
absl::Status CheckSampling(const v1::SamplingParams& message, uint64_t id, int vocab_size) {
  if (!(message.temperature() >= 0) || !std::isfinite(message.temperature())) {
    return OutOfRange(id, "temperature", message.temperature(), "0 or more");
  }
  if (!FitsInt(message.top_k())) return OutOfRange(id, "top_k", message.top_k(), "less than 2^31");
  if (!(message.top_p() > 0 && message.top_p() <= 1)) {
    return OutOfRange(id, "top_p", message.top_p(), "(0, 1]");
  }
  if (!(message.min_p() >= 0 && message.min_p() <= 1)) {
    return OutOfRange(id, "min_p", message.min_p(), "[0, 1]");
  }
  if (!(message.repetition_penalty() > 0) || !std::isfinite(message.repetition_penalty())) {
    return OutOfRange(id, "repetition_penalty", message.repetition_penalty(), "more than 0");
  }
  if (message.logit_bias_token_ids_size() != message.logit_biases_size()) {
    return OutOfRange(id, "logit_biases", message.logit_biases_size(),
                      "as many as logit_bias_token_ids");
  }
  for (const uint32_t token_id : message.logit_bias_token_ids()) {
    if (token_id < static_cast<uint32_t>(vocab_size)) continue;
    return OutOfRange(id, "logit_bias_token_ids", token_id, "ids of the vocabulary");
  }
  for (const float bias : message.logit_biases()) {
    if (!std::isfinite(bias)) return OutOfRange(id, "logit_biases", bias, "finite numbers");
  }
  return absl::OkStatus();
}

SamplingParams FromMessage(const v1::SamplingParams& message) {
  SamplingParams params;
  params.temperature = message.temperature();
  params.top_k = static_cast<int>(message.top_k());
  params.top_p = message.top_p();
  params.min_p = message.min_p();
  params.repetition_penalty = message.repetition_penalty();
  for (int i = 0; i < message.logit_biases_size(); ++i) {
    params.logit_bias.emplace_back(static_cast<int32_t>(message.logit_bias_token_ids(i)),
                                   message.logit_biases(i));
  }
  params.seed = message.seed();
  return params;
}

void AddToken(const TokenLogprob& token, v1::TokenLogprobs* message) {
  message->add_token_ids(static_cast<uint32_t>(token.token_id));
  message->add_logprobs(token.logprob);
  message->set_num_top(static_cast<uint32_t>(token.top.size()));
  for (const auto& [id, logprob] : token.top) {
    message->add_top_token_ids(static_cast<uint32_t>(id));
    message->add_top_logprobs(logprob);
  }
}

// False where lengths or ids are wrong.
bool TakeTokens(const v1::TokenLogprobs& message, std::vector<TokenLogprob>& tokens) {
  const int num_tokens = message.token_ids_size();
  const uint64_t num_tops = uint64_t{message.num_top()} * static_cast<uint64_t>(num_tokens);
  if (message.logprobs_size() != num_tokens ||
      static_cast<uint64_t>(message.top_token_ids_size()) != num_tops ||
      static_cast<uint64_t>(message.top_logprobs_size()) != num_tops) {
    return false;
  }
  const int num_top = static_cast<int>(num_tokens == 0 ? 0 : message.num_top());
  for (int i = 0; i < num_tokens; ++i) {
    TokenLogprob& token = tokens.emplace_back();
    if (!FitsInt(message.token_ids(i))) return false;
    token.token_id = static_cast<int32_t>(message.token_ids(i));
    token.logprob = message.logprobs(i);
    for (int top = i * num_top; top < (i + 1) * num_top; ++top) {
      if (!FitsInt(message.top_token_ids(top))) return false;
      token.top.emplace_back(static_cast<int32_t>(message.top_token_ids(top)),
                             message.top_logprobs(top));
    }
  }
  return true;
}

bool TakeChunk(const v1::StepChunkResult& message, ChunkResult& chunk) {
  chunk.id = message.sequence_id();
  std::vector<TokenLogprob> sampled;
  if (!TakeTokens(message.sampled(), sampled) || sampled.size() > 1) return false;
  if (!sampled.empty()) chunk.sampled = std::move(sampled.front());
  chunk.routing.gating_weights.assign(message.gating_weights().begin(),
                                      message.gating_weights().end());
  return TakeTokens(message.targets(), chunk.targets) &&
         TakeIds(message.expert_ids(), chunk.routing.expert_ids) &&
         message.expert_ids_size() == message.gating_weights_size();
}

}  // namespace

void ToMessage(const SequenceSpec& spec, v1::AddSequence* message) {
  message->set_sequence_id(spec.id);
  ToMessage(spec.sampling, message->mutable_sampling());
  message->set_max_total_tokens(static_cast<uint32_t>(spec.max_total_tokens));
  message->set_num_top_logprobs(static_cast<uint32_t>(spec.num_top_logprobs));
  message->set_want_logprobs(spec.want_logprobs);
  message->set_want_routing(spec.want_routing);
  AddIds(spec.token_ids, message->mutable_token_ids());
  message->set_max_cached_tokens(static_cast<uint32_t>(spec.max_cached_tokens));
}

absl::StatusOr<SequenceSpec> FromMessage(const v1::AddSequence& message, int vocab_size) {
  const uint64_t id = message.sequence_id();
  const absl::Status sampling = CheckSampling(message.sampling(), id, vocab_size);
  if (!sampling.ok()) return sampling;
  if (!FitsInt(message.max_total_tokens())) {
    return OutOfRange(id, "max_total_tokens", message.max_total_tokens(), "less than 2^31");
  }
  if (message.num_top_logprobs() > static_cast<uint32_t>(vocab_size)) {
    return OutOfRange(id, "num_top_logprobs", message.num_top_logprobs(),
                      "at most the vocabulary's size");
  }
  if (message.max_cached_tokens() > static_cast<uint32_t>(message.token_ids_size())) {
    return OutOfRange(id, "max_cached_tokens", message.max_cached_tokens(),
                      "at most the number of token_ids");
  }
  SequenceSpec spec;
  spec.id = id;
  spec.sampling = FromMessage(message.sampling());
  spec.max_total_tokens = static_cast<int>(message.max_total_tokens());
  spec.num_top_logprobs = static_cast<int>(message.num_top_logprobs());
  spec.want_logprobs = message.want_logprobs();
  spec.want_routing = message.want_routing();
  if (!TakeIds(message.token_ids(), spec.token_ids)) {
    return OutOfRange(id, "token_ids", "more", "less than 2^31");
  }
  spec.max_cached_tokens = static_cast<int>(message.max_cached_tokens());
  return spec;
}

void ToMessage(const StepRequest& request, absl::Time now, v1::Step* message) {
  for (const SequenceChunk& chunk : request.chunks) {
    v1::StepChunk* const added = message->add_chunks();
    added->set_sequence_id(chunk.id);
    added->set_first_position(static_cast<uint32_t>(chunk.first_position));
    AddIds(chunk.token_ids, added->mutable_token_ids());
    added->mutable_target_token_ids()->Add(chunk.target_token_ids.begin(),
                                           chunk.target_token_ids.end());
    added->set_sample(chunk.sample);
  }
  if (request.deadline == absl::InfiniteFuture()) return;
  message->set_timeout_us(static_cast<uint64_t>(
      std::max<int64_t>(1, absl::ToInt64Microseconds(request.deadline - now))));
}

absl::StatusOr<StepRequest> FromMessage(const v1::Step& message, absl::Time now) {
  StepRequest request;
  request.chunks.reserve(static_cast<size_t>(message.chunks_size()));
  for (const v1::StepChunk& from : message.chunks()) {
    SequenceChunk& chunk = request.chunks.emplace_back();
    chunk.id = from.sequence_id();
    if (!FitsInt(from.first_position())) {
      return OutOfRange(chunk.id, "first_position", from.first_position(), "less than 2^31");
    }
    chunk.first_position = static_cast<int>(from.first_position());
    if (!TakeIds(from.token_ids(), chunk.token_ids)) {
      return OutOfRange(chunk.id, "token_ids", "more", "less than 2^31");
    }
    chunk.target_token_ids.assign(from.target_token_ids().begin(), from.target_token_ids().end());
    chunk.sample = from.sample();
  }
  if (message.timeout_us() != 0 && message.timeout_us() <= kMaxTimeoutUs) {
    request.deadline = now + absl::Microseconds(static_cast<int64_t>(message.timeout_us()));
  }
  return request;
}

void ToMessage(const StepResult& result, v1::StepResult* message) {
  for (const ChunkResult& chunk : result.chunks) {
    v1::StepChunkResult* const added = message->add_chunks();
    added->set_sequence_id(chunk.id);
    if (chunk.sampled.has_value()) AddToken(*chunk.sampled, added->mutable_sampled());
    for (const TokenLogprob& target : chunk.targets) AddToken(target, added->mutable_targets());
    AddIds(chunk.routing.expert_ids, added->mutable_expert_ids());
    added->mutable_gating_weights()->Add(chunk.routing.gating_weights.begin(),
                                         chunk.routing.gating_weights.end());
  }
}

absl::StatusOr<StepResult> FromMessage(const v1::StepResult& message) {
  StepResult result;
  result.chunks.reserve(static_cast<size_t>(message.chunks_size()));
  for (const v1::StepChunkResult& from : message.chunks()) {
    if (TakeChunk(from, result.chunks.emplace_back())) continue;
    return absl::InternalError(absl::StrCat("the result of sequence ", from.sequence_id(),
                                            " has lists of lengths that do not fit together, or an "
                                            "id that is none"));
  }
  return result;
}

void ToMessage(const KvCacheUsage& usage, v1::KvCacheUsage* message) {
  message->set_num_blocks(static_cast<uint64_t>(usage.num_blocks));
  message->set_num_free_blocks(static_cast<uint64_t>(usage.num_free_blocks));
  message->set_block_size(static_cast<uint32_t>(usage.block_size));
}

absl::StatusOr<KvCacheUsage> FromMessage(const v1::KvCacheUsage& message) {
  if (message.num_free_blocks() > message.num_blocks() ||
      message.num_blocks() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
      message.block_size() == 0 || !FitsInt(message.block_size())) {
    return absl::InternalError(absl::StrCat("KV cache usage: ", message.num_free_blocks(), " of ",
                                            message.num_blocks(), " blocks of ",
                                            message.block_size(), " tokens are free"));
  }
  KvCacheUsage usage;
  usage.num_blocks = static_cast<int64_t>(message.num_blocks());
  usage.num_free_blocks = static_cast<int64_t>(message.num_free_blocks());
  usage.block_size = static_cast<int>(message.block_size());
  return usage;
}

}  // namespace tramontane
