#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/arg_max.h"
#include "kernels/combine_experts.h"
#include "kernels/embed_tokens.h"
#include "kernels/rms_norm.h"
#include "kernels/route_topk.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using RmsNormTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, RmsNormTest, testing::ValuesIn(AllKernels()), KernelsTestName);
using RouteTopKTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, RouteTopKTest, testing::ValuesIn(AllKernels()), KernelsTestName);
using CombineExpertsTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, CombineExpertsTest, testing::ValuesIn(AllKernels()), KernelsTestName);
using EmbedTokensTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, EmbedTokensTest, testing::ValuesIn(AllKernels()), KernelsTestName);

using ArgMaxTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, ArgMaxTest, testing::ValuesIn(AllKernels()), KernelsTestName);

std::vector<float> Normalise(Backend* backend, const std::vector<float>& input,
                             const std::vector<float>& weight, DType output_dtype) {
  const auto n = static_cast<int64_t>(weight.size());
  const auto num_tokens = static_cast<int64_t>(input.size()) / n;
  TestTensor output = PoisonedTensor({num_tokens, n}, output_dtype);
  RmsNormArgs args;
  args.input = input.data();
  args.weight = weight.data();
  args.output = output.bytes.data();
  args.output_dtype = output_dtype;
  args.num_tokens = num_tokens;
  args.hidden_size = n;
  backend->RmsNorm(args);
  return output.floats();
}

TEST_P(RmsNormTest, EqualsTheReference) {
  for (const int64_t n : {1, 15, 16, 17, 63, 64, 65, 96, 130, 1000, 5000}) {
    const auto input = RandomFloats(35 * n, 1), weight = RandomFloats(n, 2);
    const auto expected = Normalise(reference_.get(), input, weight, DType::kF32);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const auto actual = Normalise(kernels_.get(), input, weight, dtype);
      // Half the relative error of a sum of n squares, then four operations, on either side.
      const double relative =
          (static_cast<double>(n) + 10) * kEpsilon + (dtype == DType::kBF16 ? kBf16Step / 2 : 0);
      for (size_t i = 0; i < actual.size(); ++i) {
        ASSERT_NEAR(actual[i], expected[i], relative * std::abs(expected[i]))
            << n << " columns, element " << i;
      }
    }
  }
}

TEST_P(RmsNormTest, ARowHasTheSameBitsInEveryBatch) {
  const int64_t n = 777;
  const auto input = RandomFloats(70 * n, 3), weight = RandomFloats(n, 4);
  const auto whole = Normalise(kernels_.get(), input, weight, compute_dtype());
  for (int64_t r = 0; r < 70; ++r) {
    EXPECT_TRUE(
        SameBits(Normalise(kernels_.get(), {input.begin() + r * n, input.begin() + (r + 1) * n},
                           weight, compute_dtype()),
                 {whole.begin() + r * n, whole.begin() + (r + 1) * n}))
        << "row " << r;
  }
}

struct Routes {
  std::vector<int32_t> expert_ids;
  std::vector<float> weights;
};

Routes Route(Backend* backend, const std::vector<float>& logits, int64_t num_experts,
             int64_t top_k) {
  RouteTopKArgs args;
  args.router_logits = logits.data();
  args.num_tokens = static_cast<int64_t>(logits.size()) / num_experts;
  args.num_experts = num_experts;
  args.top_k = top_k;
  Routes routes{std::vector<int32_t>(static_cast<size_t>(args.num_tokens * top_k), -7),
                Poisoned(args.num_tokens * top_k)};
  args.topk_expert_ids = routes.expert_ids.data();
  args.gating_weights = routes.weights.data();
  backend->RouteTopK(args);
  return routes;
}

TEST_P(RouteTopKTest, EqualsTheReference) {
  for (const int64_t num_experts : {1, 4, 8, 15, 16, 17, 60}) {
    for (const int64_t top_k : {int64_t{1}, int64_t{2}, num_experts}) {
      if (top_k > num_experts) continue;
      const auto logits = RandomFloats(300 * num_experts, 5, 10.0f);
      const Routes actual = Route(kernels_.get(), logits, num_experts, top_k);
      const Routes expected = Route(reference_.get(), logits, num_experts, top_k);
      EXPECT_EQ(actual.expert_ids, expected.expert_ids) << num_experts << " experts";
      for (size_t i = 0; i < actual.weights.size(); ++i) {
        // Two exps of 1.5 units, two sums of num_experts terms, two quotients, on either side.
        const double relative = (16 + 4 * static_cast<double>(num_experts)) * kEpsilon;
        ASSERT_NEAR(actual.weights[i], expected.weights[i], relative * expected.weights[i] + 1e-37);
      }
    }
  }
}

TEST_P(RouteTopKTest, OfEqualWeightsTheLowerExpertComesFirst) {
  const Routes routes =
      Route(kernels_.get(), {1, 3, 2, 3, 3, 0, 3, 1, 5, 5, 5, 5, 5, 5, 5, 5}, 8, 3);
  EXPECT_EQ(routes.expert_ids, (std::vector<int32_t>{1, 3, 4, 0, 1, 2}));
}

TEST_P(RouteTopKTest, WeightsSumToOneHoweverLargeTheLogits) {
  const Routes routes = Route(kernels_.get(), {3e38f, -3e38f, 2e38f, 0, 100, 99, -100, 0}, 4, 2);
  EXPECT_EQ(routes.expert_ids, (std::vector<int32_t>{0, 1, 0, 1}));
  EXPECT_FLOAT_EQ(routes.weights[0] + routes.weights[1], 1.0f);
  EXPECT_FLOAT_EQ(routes.weights[2] + routes.weights[3], 1.0f);
}

TEST_P(CombineExpertsTest, EqualsTheReferenceForUnalignedRowsOfBothDtypes) {
  for (const int64_t n : {1, 16, 31, 100, 2056}) {
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      const TestTensor experts = RandomTensor({21, n}, dtype, 6);
      std::vector<std::byte> shifted(experts.bytes.size() + 1);
      std::copy(experts.bytes.begin(), experts.bytes.end(), shifted.begin() + 1);
      std::vector<const std::byte*> rows;
      for (int64_t r = 0; r < 21; ++r) {
        rows.push_back(shifted.data() + 1 + (experts.row(20 - r) - experts.row(0)));
      }
      const auto weights = RandomFloats(21, 7), residual = RandomFloats(7 * n, 8);
      const auto combine = [&](Backend* backend, bool wants_moe) {
        std::vector<float> sum = residual, moe = Poisoned(7 * n);
        CombineExpertsArgs args{
            rows.data(), dtype, weights.data(), sum.data(), wants_moe ? moe.data() : nullptr, 7,
            3,           n};
        backend->CombineExperts(args);
        if (wants_moe) sum.insert(sum.end(), moe.begin(), moe.end());
        return sum;
      };
      const auto actual = combine(kernels_.get(), true), expected = combine(reference_.get(), true);
      for (size_t i = 0; i < actual.size(); ++i) {
        // Eight roundings of sums that stay below 4.
        ASSERT_NEAR(actual[i], expected[i], 32 * kEpsilon) << n << " columns, element " << i;
      }
      EXPECT_TRUE(
          SameBits(combine(kernels_.get(), false), {actual.begin(), actual.begin() + 7 * n}));
    }
  }
}

TEST_P(EmbedTokensTest, CopiesRowsOfEveryDtypeExactly) {
  for (const int64_t n : {37, 40, 4100}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const TestTensor embedding = RandomTensor({9, n}, dtype, 9);
      const TensorView view = embedding.view();
      const std::vector<int32_t> token_ids = {8, 0, 3, 3, 1};
      std::vector<float> actual = Poisoned(5 * n), expected = Poisoned(5 * n);
      kernels_->EmbedTokens({&view, token_ids.data(), actual.data(), 5});
      reference_->EmbedTokens({&view, token_ids.data(), expected.data(), 5});
      EXPECT_TRUE(SameBits(actual, expected)) << n << " columns";
    }
  }
}

std::vector<int32_t> Likeliest(Backend* backend, const std::vector<float>& rows,
                               int64_t num_columns) {
  ArgMaxArgs args;
  args.rows = rows.data();
  args.num_columns = num_columns;
  args.num_rows = static_cast<int64_t>(rows.size()) / num_columns;
  std::vector<int32_t> ids(static_cast<size_t>(args.num_rows), -7);
  args.ids = ids.data();
  backend->ArgMax(args);
  return ids;
}

TEST_P(ArgMaxTest, FindsTheGreatestWhereverItIs) {
  for (const int64_t n : {1, 2, 31, 1023, 1024, 1025, 3000, 20004}) {
    std::vector<float> rows = RandomFloats(3 * n, 10);
    for (const int64_t column : {int64_t{0}, n / 2, n - 1}) {
      for (int64_t r = 0; r < 3; ++r) rows[static_cast<size_t>(r * n + (column + r) % n)] = 2;
      const auto ids = Likeliest(kernels_.get(), rows, n);
      for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(ids[static_cast<size_t>(r)], (column + r) % n);
      for (float& value : rows) value = std::min(value, 1.0f);
    }
  }
}

TEST_P(ArgMaxTest, OfEqualsTheLowestColumnIsTaken) {
  std::vector<float> row(2500, -3.0f);
  EXPECT_EQ(Likeliest(kernels_.get(), row, 2500), std::vector<int32_t>{0});
  for (const size_t column : {2499, 1500, 1499, 700, 476}) {
    row[column] = std::numeric_limits<float>::max();
    EXPECT_EQ(Likeliest(kernels_.get(), row, 2500),
              std::vector<int32_t>{static_cast<int32_t>(column)});
  }
  EXPECT_EQ(Likeliest(kernels_.get(), {-1.0f, -0.0f, 0.0f}, 3), std::vector<int32_t>{1});
}

TEST_P(ArgMaxTest, ARowThatIsNotFiniteHasNone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const size_t column : {0, 1, 1100, 1299}) {
      std::vector<float> rows(2600, 1.0f);
      rows[1300 + column] = bad;
      EXPECT_EQ(Likeliest(kernels_.get(), rows, 1300), (std::vector<int32_t>{0, -1}))
          << bad << " in column " << column;
    }
  }
}

}  // namespace
}  // namespace tramontane
