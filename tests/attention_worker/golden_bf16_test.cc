// Bfloat16 mode against Hugging Face Transformers in float32: the same model, with roundings.
//
// The tolerance, derived in docs/numerics.md: a rounding to bfloat16 is off by at most 2^-8 and by
// less than 2^-9 in root mean square. Such errors are independent, so their squares add up; a layer
// puts kRoundings of them between its input and its output, and as many again for the weights of a
// checkpoint that is not in bfloat16. kSpread allows for a row that is worse than the average, and
// for norms and softmaxes that make an error larger on its way.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tests/attention_worker/model_under_test.h"
#include "tests/attention_worker/traced_prefill.h"
#include "tests/golden/golden_values.h"

namespace tramontane {
namespace {

constexpr double kRootMeanSquareRounding = 1.0 / 512;  // 2^-9
// Normed input, keys, values, attended values, normed input of the experts, silu product, answer.
constexpr int kRoundings = 7;
// Queries and attention weights, where products of bf16 are taken in attention too.
constexpr int kAttentionRoundings = 2;
// q/k/v, output projection, gate, w1 and w3, w2.
constexpr int kWeightRoundings = 5;
constexpr double kSpread = 4.0;

double Norm(std::span<const float> row) {
  double sum = 0.0;
  for (const float x : row) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

// |actual - expected| / |expected|, Euclidean.
double RelativeError(std::span<const float> actual, std::span<const float> expected) {
  std::vector<float> difference;
  for (size_t i = 0; i < expected.size(); ++i) difference.push_back(actual[i] - expected[i]);
  return Norm(difference) / Norm(expected);
}

// {checkpoint, backend}
class GoldenBf16Test : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    const auto& [name, backend] = GetParam();
    auto cases = ReadGoldenCases(GoldenDirectory(name));
    ASSERT_TRUE(cases.ok()) << cases.status();
    cases_ = *std::move(cases);
    auto model =
        LoadModel(CheckpointDirectory(name), {.backend = backend, .compute_dtype = DType::kBF16});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  // Of what has gone through `layers` layers.
  double Tolerance(int layers) const {
    const bool exact = model_.checkpoint->Attention(0).q_proj.dtype == DType::kBF16;
    const bool attends_in_bf16 = model_.backend->name() == "cpu-avx512_bf16";
    const int roundings = layers * (kRoundings + (attends_in_bf16 ? kAttentionRoundings : 0) +
                                    (exact ? 0 : kWeightRoundings));
    return kSpread * kRootMeanSquareRounding * std::sqrt(roundings);
  }

  std::vector<GoldenCase> cases_;
  ModelUnderTest model_;
};

// Follows which rows still run through the same experts as the reference's. The router's choice is
// a step function: where the last chosen and the first rejected logit are closer than the tolerance
// either is right, and what that row, and later the rows that attend to it, compute is another
// function. Those are not compared further.
class ComparableRows {
 public:
  ComparableRows(const MixtralConfig& config, const GoldenCase& golden)
      : config_(config), golden_(golden), comparable_(golden.prompt_token_ids.size(), true) {}

  // Takes the layer's choices; returns the smallest gap, relative to the logits, of a row that
  // chose otherwise: 0 where none did.
  double TakeChoices(int layer, const TracedPrefill& traced) {
    double largest_gap = 0.0;
    // Rows that attended to one that was lost in an earlier layer.
    const auto first_lost = std::find(comparable_.begin(), comparable_.end(), false);
    std::fill(first_lost, comparable_.end(), false);
    for (size_t row = 0; row < comparable_.size(); ++row) {
      if (!comparable_[row] || SameChoice(layer, row, traced)) continue;
      largest_gap = std::max(largest_gap, Gap(layer, row));
      comparable_[row] = false;
    }
    return largest_gap;
  }

  bool comparable(size_t row) const { return comparable_[row]; }

 private:
  size_t Row(int layer, size_t row) const {
    return static_cast<size_t>(layer) * comparable_.size() + row;
  }

  bool SameChoice(int layer, size_t row, const TracedPrefill& traced) const {
    const auto top_k = static_cast<size_t>(config_.top_k);
    const size_t begin = Row(layer, row) * top_k;
    // As sets: the order of near equal weights does not matter to their sum.
    const auto sorted = [&](const std::vector<int32_t>& all) {
      std::vector<int32_t> chosen(all.begin() + begin, all.begin() + begin + top_k);
      std::sort(chosen.begin(), chosen.end());
      return chosen;
    };
    return sorted(traced.router_experts) == sorted(golden_.router_experts);
  }

  double Gap(int layer, size_t row) const {
    const auto count = static_cast<size_t>(config_.num_experts);
    const std::span<const float> logits(golden_.router_logits.data() + Row(layer, row) * count,
                                        count);
    std::vector<float> sorted(logits.begin(), logits.end());
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    return (sorted[config_.top_k - 1] - sorted[config_.top_k]) / Norm(logits);
  }

  const MixtralConfig& config_;
  const GoldenCase& golden_;
  std::vector<bool> comparable_;  // [T]
};

std::span<const float> RowOf(const std::vector<float>& values, size_t row, size_t row_size) {
  return std::span(values).subspan(row * row_size, row_size);
}

TEST_P(GoldenBf16Test, LayersAndLogitsAreWithinTheDerivedTolerance) {
  const MixtralConfig& config = model_.config();
  size_t compared = 0;
  size_t all = 0;
  for (size_t i = 0; i < cases_.size(); ++i) {
    SCOPED_TRACE(i);
    const GoldenCase& golden = cases_[i];
    const auto traced = TracePrefill(*model_.worker, config.vocab_size, golden.prompt_token_ids);
    ASSERT_TRUE(traced.ok()) << traced.status();
    const size_t num_rows = golden.prompt_token_ids.size();
    ComparableRows rows(config, golden);
    for (int layer = 0; layer < config.num_layers; ++layer) {
      const double tolerance = Tolerance(layer + 1);
      EXPECT_LE(rows.TakeChoices(layer, *traced), 2 * tolerance) << "layer " << layer;
      for (size_t row = 0; row < num_rows; ++row) {
        ++all;
        if (!rows.comparable(row)) continue;
        ++compared;
        const size_t at = static_cast<size_t>(layer) * num_rows + row;
        EXPECT_LE(RelativeError(RowOf(traced->layer_output, at, config.hidden_size),
                                RowOf(golden.layer_output, at, config.hidden_size)),
                  tolerance)
            << "layer " << layer << " row " << row;
      }
    }
    const std::vector<float> logprobs = LogSoftmax(golden.logits, config.vocab_size);
    for (size_t row = 0; row < num_rows; ++row) {
      if (!rows.comparable(row)) continue;
      EXPECT_LE(RelativeError(RowOf(traced->logprobs, row, config.vocab_size),
                              RowOf(logprobs, row, config.vocab_size)),
                Tolerance(config.num_layers + 1))
          << "row " << row;
    }
  }
  // Near ties are the exception, or the comparison would say little.
  EXPECT_GE(compared, all / 2) << compared << " of " << all;
}

std::string ParamName(const ::testing::TestParamInfo<GoldenBf16Test::ParamType>& param) {
  return std::get<0>(param.param) + "_" + std::get<1>(param.param);
}

INSTANTIATE_TEST_SUITE_P(AllCheckpoints, GoldenBf16Test,
                         ::testing::Combine(::testing::Values("tiny_f32", "tiny_bf16_sharded",
                                                              "tiny_f16_window_tied", "demo"),
                                            ::testing::Values("reference", "cpu")),
                         ParamName);

}  // namespace
}  // namespace tramontane
