#include "kernels/token_sampler.h"

#include <algorithm>
#include <cstddef>

#include "kernels/backend.h"
#include "kernels/finite_rows.h"
#include "kernels/sampling_weight.h"
#include "model/check.h"

namespace tramontane {
namespace {

// Among so many candidates top-p finds its last one by sorting.
constexpr size_t kFewEnoughToSort = 64;

}  // namespace

TokenSampler::TokenSampler(int64_t vocab_size) {
  candidates_.reserve(static_cast<size_t>(vocab_size));
  selection_.reserve(static_cast<size_t>(vocab_size));
}

int32_t TokenSampler::Sample(std::span<const float> logits, const TokenSampling& sampling) {
  // max_element keeps the first of equals.
  const auto greatest = std::max_element(logits.begin(), logits.end());
  if (sampling.temperature == 0.0f) return static_cast<int32_t>(greatest - logits.begin());
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    candidates_[i].key = LikelihoodKey(logits[i], id);
    candidates_[i].id = id;
  }
  if (sampling.top_k > 0) KeepTopK(sampling.top_k);
  for (Candidate& candidate : candidates_) {
    candidate.weight =
        SamplingWeight(logits[static_cast<size_t>(candidate.id)], *greatest, sampling.temperature);
  }
  if (sampling.top_p < 1.0f) KeepTopP(sampling.top_p);
  if (sampling.min_p > 0.0f) {
    std::erase_if(candidates_, [least = MinPWeight(sampling.min_p)](const Candidate& candidate) {
      return candidate.weight < least;
    });
  }
  return Draw(sampling.random);
}

uint64_t TokenSampler::TotalWeight() const {
  uint64_t total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  return total;
}

void TokenSampler::KeepTopK(int top_k) {
  const auto count = static_cast<size_t>(top_k);
  if (count >= candidates_.size()) return;
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(candidates_.begin(), end - 1, candidates_.end(), Likelier);
  candidates_.erase(end, candidates_.end());
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

void TokenSampler::KeepTopP(float top_p) {
  const uint64_t key = KeyThatReaches(TopPWeight(TotalWeight(), top_p));
  std::erase_if(candidates_, [key](const Candidate& one) { return one.key < key; });
}

uint64_t TokenSampler::KeyThatReaches(uint64_t wanted) {
  selection_ = candidates_;
  const auto at = [this](size_t i) { return selection_.begin() + static_cast<std::ptrdiff_t>(i); };
  // It is in [begin, end), and what is likelier lies before: halved by selection until it is worth
  // sorting, so that a flat distribution costs little more than a peaked one.
  size_t begin = 0;
  size_t end = selection_.size();
  uint64_t before = 0;
  while (end - begin > kFewEnoughToSort) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), Likelier);
    uint64_t upper = 0;
    for (size_t i = begin; i < middle; ++i) upper += selection_[i].weight;
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
  return selection_[begin].key;
}

int32_t TokenSampler::Draw(uint64_t random) const {
  const uint64_t total = TotalWeight();
  TRAMONTANE_CHECK(total > 0);  // the greatest logit is left whatever is kept
  uint64_t left = DrawnUnit(total, random);
  for (const Candidate& candidate : candidates_) {
    if (left < candidate.weight) return candidate.id;
    left -= candidate.weight;
  }
  TRAMONTANE_CHECK(false);
  return -1;
}

void Backend::SampleTokens(const SampleTokensArgs& args) {
  TokenSampler sampler(args.num_columns);
  for (int64_t r = 0; r < args.num_rows; ++r) {
    const float* const row = args.rows + r * args.num_columns;
    const bool finite =
        RowIsFinite(reinterpret_cast<const std::byte*>(row), args.num_columns, DType::kF32);
    args.ids[r] =
        finite ? sampler.Sample({row, static_cast<size_t>(args.num_columns)}, args.sampling[r])
               : -1;
  }
}

}  // namespace tramontane
