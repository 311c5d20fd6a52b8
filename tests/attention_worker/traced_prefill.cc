#include "tests/attention_worker/traced_prefill.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tramontane {
namespace {

template <typename T>
void Append(std::span<const T> values, std::vector<T>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

}  // namespace

absl::StatusOr<TracedPrefill> TracePrefill(AttentionWorker& worker, int vocab_size,
                                           const std::vector<int32_t>& prompt_token_ids) {
  TracedPrefill traced;
  worker.set_layer_tracer([&traced](const LayerTrace& trace) {
    Append(trace.layer_output, &traced.layer_output);
    Append(trace.moe_output, &traced.moe_output);
    Append(trace.router_logits, &traced.router_logits);
    Append(trace.topk_expert_ids, &traced.router_experts);
    Append(trace.gating_weights, &traced.router_weights);
  });
  SequenceSpec spec;
  spec.max_total_tokens = static_cast<int>(prompt_token_ids.size());
  spec.num_top_logprobs = vocab_size;
  const absl::StatusOr<int> added = worker.AddSequence(spec);
  if (!added.ok()) return added.status();
  SequenceChunk chunk;
  chunk.token_ids = prompt_token_ids;
  chunk.target_token_ids.assign(prompt_token_ids.size(), 0);  // any: `top` has the whole row
  const absl::StatusOr<StepResult> result = worker.Step({.chunks = {chunk}});
  worker.ReleaseSequence(spec.id);
  worker.set_layer_tracer(nullptr);
  if (!result.ok()) return result.status();
  for (const TokenLogprob& row : result->chunks[0].targets) {
    const size_t begin = traced.logprobs.size();
    traced.logprobs.resize(begin + row.top.size());
    for (const auto& [id, logprob] : row.top) traced.logprobs[begin + id] = logprob;
  }
  return traced;
}

std::vector<float> LogSoftmax(std::span<const float> logits, int vocab_size) {
  std::vector<float> logprobs;
  for (size_t begin = 0; begin < logits.size(); begin += vocab_size) {
    const std::span<const float> row = logits.subspan(begin, vocab_size);
    double sum = 0.0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    for (const float logit : row) logprobs.push_back(static_cast<float>(logit - std::log(sum)));
  }
  return logprobs;
}

std::vector<double> RowErrors(std::span<const float> actual, std::span<const float> expected,
                              int64_t row_size) {
  // Another number of elements is no small error.
  if (actual.size() != expected.size()) return {std::numeric_limits<double>::infinity()};
  std::vector<double> errors;
  for (size_t begin = 0; begin < actual.size(); begin += row_size) {
    double difference = 0.0;
    double scale = 0.0;
    for (int64_t i = 0; i < row_size; ++i) {
      difference = std::max(difference,
                            std::abs(static_cast<double>(actual[begin + i]) - expected[begin + i]));
      scale = std::max(scale, std::abs(static_cast<double>(expected[begin + i])));
    }
    errors.push_back(difference / scale);
  }
  return errors;
}

double LargestRowError(std::span<const float> actual, std::span<const float> expected,
                       int64_t row_size) {
  const std::vector<double> errors = RowErrors(actual, expected, row_size);
  return *std::max_element(errors.begin(), errors.end());
}

}  // namespace tramontane
