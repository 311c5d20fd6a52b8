#include "attention_worker/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "attention_worker/philox.h"
#include "model/check.h"

namespace tramontane {
namespace {

// How many of the likeliest candidates top-p sorts first; doubled until they hold enough weight.
constexpr size_t kFirstSorted = 64;

int32_t Greatest(std::span<const float> logits) {
  // max_element keeps the first of equals.
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

Sampler::Sampler(int vocab_size) {
  adjusted_.reserve(static_cast<size_t>(vocab_size));
  candidates_.reserve(static_cast<size_t>(vocab_size));
}

int32_t Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                        std::span<const int32_t> seen_token_ids, int64_t position) {
  logits = Adjust(logits, params, seen_token_ids);
  const int32_t greatest = Greatest(logits);
  if (params.temperature == 0.0f) return greatest;

  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    candidates_.push_back({.logit = logits[id], .id = static_cast<int32_t>(id)});
  }
  // A temperature does not change their order: only what top-k leaves needs a weight.
  if (params.top_k > 0) KeepTopK(params.top_k);
  Weigh(logits[greatest], params.temperature);
  if (params.top_p < 1.0f) KeepTopP(params.top_p);
  if (params.min_p > 0.0f) KeepMinP(params.min_p);
  return Draw(UniformAt(params.seed, static_cast<uint64_t>(position)));
}

std::span<const float> Sampler::Adjust(std::span<const float> logits, const SamplingParams& params,
                                       std::span<const int32_t> seen_token_ids) {
  const bool penalised = params.repetition_penalty != 1.0f;
  if (!penalised && params.logit_bias.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  if (penalised) {
    for (const int32_t id : seen_token_ids) {
      float& logit = adjusted_[id];
      logit = logit > 0.0f ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
  }
  for (const auto& [id, bias] : params.logit_bias) adjusted_[id] += bias;
  return adjusted_;
}

void Sampler::KeepTopK(int top_k) {
  const auto count = std::min(static_cast<size_t>(top_k), candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(candidates_.begin(), end - 1, candidates_.end(), Likelier);
  candidates_.erase(end, candidates_.end());
  std::sort(candidates_.begin(), candidates_.end(), Likelier);
}

void Sampler::Weigh(double greatest_logit, double temperature) {
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((candidate.logit - greatest_logit) / temperature);
  }
}

void Sampler::KeepTopP(float top_p) {
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const double wanted = total * top_p;
  double kept = 0.0;
  size_t sorted = 0;
  for (size_t next = 0; next < candidates_.size(); ++next) {
    if (next == sorted) {
      sorted = std::min(std::max(kFirstSorted, 2 * sorted), candidates_.size());
      std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(next),
                        candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                        candidates_.end(), Likelier);
    }
    kept += candidates_[next].weight;
    if (kept >= wanted) {
      candidates_.resize(next + 1);  // the one that reaches top_p is still in
      return;
    }
  }
}

void Sampler::KeepMinP(float min_p) {
  // The likeliest candidate has weight 1.
  std::erase_if(candidates_,
                [min_p](const Candidate& candidate) { return candidate.weight < min_p; });
}

int32_t Sampler::Draw(double uniform) const {
  TRAMONTANE_CHECK(!candidates_.empty());
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  double left = uniform * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0.0) return candidate.id;
  }
  // Rounding may leave a little: the last one that has any weight.
  const auto last = std::find_if(candidates_.rbegin(), candidates_.rend(),
                                 [](const Candidate& candidate) { return candidate.weight > 0.0; });
  return last->id;
}

}  // namespace tramontane
