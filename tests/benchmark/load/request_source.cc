#include "tests/benchmark/load/request_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

// What random numbers are drawn for; each has its own sequence.
enum class Purpose : uint32_t { kPrefix, kRequest };

std::mt19937_64 RandomOf(uint64_t seed, Purpose purpose, uint64_t number) {
  std::seed_seq sequence{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                         static_cast<uint32_t>(purpose), static_cast<uint32_t>(number),
                         static_cast<uint32_t>(number >> 32)};
  return std::mt19937_64(sequence);
}

// Whether `token_id` ends or begins a sequence.
bool IsControl(const v1::GetModelResponse& model, uint32_t token_id) {
  if (model.has_bos_token_id() && token_id == model.bos_token_id()) return true;
  return std::find(model.eos_token_ids().begin(), model.eos_token_ids().end(), token_id) !=
         model.eos_token_ids().end();
}

}  // namespace

absl::StatusOr<RequestSource> RequestSource::Create(const LoadOptions& options,
                                                    const v1::GetModelResponse& model) {
  const int context_length = static_cast<int>(model.context_length());
  const int least = options.shared_prefix_tokens + options.prompt_tokens.longest().value_or(1) +
                    options.output_tokens.longest().value_or(1);
  if (least > context_length) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shared_prefix_tokens, --prompt_tokens and --output_tokens: up to ", least,
                     " tokens in one request; the model's context has ", context_length));
  }
  RequestSource source(options, model);
  if (source.vocabulary_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the model's vocabulary of ", model.vocab_size(),
                     " tokens has none beside BOS and end-of-sequence tokens"));
  }
  for (int i = 0; options.shared_prefix_tokens > 0 && i < options.num_prefixes; ++i) {
    std::mt19937_64 random = RandomOf(options.seed, Purpose::kPrefix, static_cast<uint64_t>(i));
    source.AppendTokens(options.shared_prefix_tokens, random, source.prefixes_.emplace_back());
  }
  return source;
}

RequestSource::RequestSource(const LoadOptions& options, const v1::GetModelResponse& model)
    : options_(options),
      context_length_(static_cast<int>(model.context_length())),
      bos_(model.has_bos_token_id() ? std::optional<uint32_t>(model.bos_token_id())
                                    : std::nullopt) {
  for (uint32_t token_id = 0; token_id < model.vocab_size(); ++token_id) {
    if (!IsControl(model, token_id)) vocabulary_.push_back(token_id);
  }
}

void RequestSource::AppendTokens(int count, std::mt19937_64& random,
                                 google::protobuf::RepeatedField<uint32_t>& token_ids) const {
  const int size = token_ids.size() + count;
  token_ids.Reserve(size);
  if (token_ids.empty() && bos_.has_value()) token_ids.Add(*bos_);
  std::uniform_int_distribution<size_t> position(0, vocabulary_.size() - 1);
  while (token_ids.size() < size) token_ids.Add(vocabulary_[position(random)]);
}

PlannedRequest RequestSource::Make(uint64_t number) const {
  std::mt19937_64 random = RandomOf(options_.seed, Purpose::kRequest, number);
  const int drawn_prompt = options_.prompt_tokens.Draw(random);
  const int drawn_output = options_.output_tokens.Draw(random);
  const double cancel = std::uniform_real_distribution<double>(0, 1)(random);
  const double cancel_share = std::uniform_real_distribution<double>(0, 1)(random);
  const uint64_t prefix = random() % static_cast<uint64_t>(options_.num_prefixes);

  const int reserved = options_.output_tokens.longest().value_or(1);
  const int room = context_length_ - options_.shared_prefix_tokens - reserved;
  const int prompt = std::min(drawn_prompt, room);
  const int output =
      std::min(drawn_output, context_length_ - options_.shared_prefix_tokens - prompt);

  PlannedRequest planned;
  v1::GenerateRequest& message = planned.message;
  if (!prefixes_.empty()) *message.mutable_prompt_token_ids() = prefixes_[prefix];
  message.set_seed(random() >> 11);  // below 2^53, as the API's own seeds
  AppendTokens(prompt, random, *message.mutable_prompt_token_ids());
  message.set_max_tokens(static_cast<uint32_t>(output));
  message.set_ignore_eos(options_.ignore_eos);
  if (options_.temperature.has_value()) message.set_temperature(*options_.temperature);
  if (cancel < options_.cancel_fraction) {
    // 1 to output - 1 tokens, evenly; a single token is let through.
    planned.cancel_after_tokens = 1 + static_cast<uint64_t>(cancel_share * std::max(1, output - 1));
  }
  return planned;
}

}  // namespace tramontane
