#include "attention_worker/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "attention_worker/philox.h"
#include "model/check.h"

namespace tramontane {
namespace {

// Among so many candidates top-p finds its last one by sorting.
constexpr size_t kFewEnoughToSort = 64;

int32_t Greatest(std::span<const float> logits) {
  // max_element keeps the first of equals.
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// A penalty near 0 or a huge bias takes a logit beyond what a float holds; of infinities there is
// no difference to weigh.
float Finite(float logit) {
  using Limits = std::numeric_limits<float>;
  return std::clamp(logit, Limits::lowest(), Limits::max());
}

}  // namespace

Sampler::Sampler(int vocab_size) {
  adjusted_.reserve(static_cast<size_t>(vocab_size));
  candidates_.reserve(static_cast<size_t>(vocab_size));
  selection_.reserve(static_cast<size_t>(vocab_size));
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
      logit = Finite(logit > 0.0f ? logit / params.repetition_penalty
                                  : logit * params.repetition_penalty);
    }
  }
  for (const auto& [id, bias] : params.logit_bias) adjusted_[id] = Finite(adjusted_[id] + bias);
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
  const Candidate last = LastOfTopP(top_p);
  // The others stay in their order, which Draw depends on.
  std::erase_if(candidates_, [&last](const Candidate& one) { return Likelier(last, one); });
}

Sampler::Candidate Sampler::LastOfTopP(float top_p) {
  selection_ = candidates_;
  const auto at = [this](size_t i) { return selection_.begin() + static_cast<std::ptrdiff_t>(i); };
  const auto weight_of = [this](size_t begin, size_t end) {
    double weight = 0.0;
    for (size_t i = begin; i < end; ++i) weight += selection_[i].weight;
    return weight;
  };
  const double wanted = weight_of(0, selection_.size()) * top_p;
  // It is in [begin, end), and what is likelier lies before: halved by selection until it is worth
  // sorting, so that a flat distribution costs little more than a peaked one.
  size_t begin = 0;
  size_t end = selection_.size();
  double before = 0.0;
  while (end - begin > kFewEnoughToSort) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), Likelier);
    const double upper = weight_of(begin, middle);
    if (before + upper >= wanted) {
      end = middle;
    } else {
      before += upper;
      begin = middle;
    }
  }
  std::sort(at(begin), at(end), Likelier);
  while (begin + 1 < end) {
    before += selection_[begin].weight;
    if (before >= wanted) break;
    ++begin;
  }
  return selection_[begin];
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
