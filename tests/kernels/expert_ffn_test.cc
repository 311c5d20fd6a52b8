#include "kernels/expert_ffn.h"

#include <cmath>
#include <cstring>

#include "kernels/routed_experts.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using ExpertFfnTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, ExpertFfnTest, testing::ValuesIn(AllKernels()), KernelsTestName);

struct TestExpert {
  TestExpert(int64_t hidden_size, int64_t intermediate_size, DType dtype, uint32_t seed)
      : w1(RandomTensor({intermediate_size, hidden_size}, dtype, seed, Scale(hidden_size))),
        w3(RandomTensor({intermediate_size, hidden_size}, dtype, seed + 1, Scale(hidden_size))),
        w2(RandomTensor({hidden_size, intermediate_size}, dtype, seed + 2,
                        Scale(intermediate_size))) {}

  // Keeps the products of random rows near 1.
  static float Scale(int64_t num_k) { return 3.0f / std::sqrt(static_cast<float>(num_k)); }

  std::unique_ptr<PackedExpert> Pack(Backend* backend) const {
    auto packed = backend->PackExpert(w1.view(), w3.view(), w2.view());
    EXPECT_TRUE(packed.ok());
    return *std::move(packed);
  }

  const TestTensor w1, w3, w2;
};

// The rows' answers as floats [num_rows, hidden_size].
std::vector<float> RunExpert(Backend* backend, const PackedExpert& expert,
                             const std::vector<const std::byte*>& rows) {
  TestTensor output = PoisonedTensor({static_cast<int64_t>(rows.size()), expert.hidden_size()},
                                     backend->compute_dtype());
  const ExpertRows group{&expert, rows, output.bytes.data()};
  backend->ExpertFfn({{&group, 1}});
  return output.floats();
}

std::vector<const std::byte*> AllRows(const TestTensor& input) {
  std::vector<const std::byte*> rows;
  for (int64_t r = 0; r < input.shape[0]; ++r) rows.push_back(input.row(r));
  return rows;
}

// How far two float32 computations of one row may lie apart, for each output: 4 K kEpsilon of the
// magnitudes of each product's terms (as in matmul_test.cc), carried through silu, whose slope is
// at most 1.1, and w2; 16 kEpsilon for silu itself. With bf16, one step more for every activated
// value, which is rounded to it.
std::vector<double> Tolerances(const TestExpert& expert, const float* x, DType dtype) {
  const auto w1 = expert.w1.floats(), w3 = expert.w3.floats(), w2 = expert.w2.floats();
  const auto inner = static_cast<size_t>(expert.w1.shape[0]);
  const auto hidden = static_cast<size_t>(expert.w1.shape[1]);
  std::vector<double> tolerances(hidden, 0.0);
  for (size_t i = 0; i < inner; ++i) {
    double gate = 0, up = 0, gate_terms = 0, up_terms = 0;
    for (size_t k = 0; k < hidden; ++k) {
      gate += double{x[k]} * w1[i * hidden + k];
      up += double{x[k]} * w3[i * hidden + k];
      gate_terms += std::abs(double{x[k]} * w1[i * hidden + k]);
      up_terms += std::abs(double{x[k]} * w3[i * hidden + k]);
    }
    const double silu = gate / (1 + std::exp(-gate));
    const double carried = 4.0 * static_cast<double>(hidden) * kEpsilon *
                           (1.1 * gate_terms * std::abs(up) + std::abs(silu) * up_terms);
    const double own = std::abs(silu * up) * ((16 + 4.0 * static_cast<double>(inner)) * kEpsilon +
                                              (dtype == DType::kBF16 ? kBf16Step : 0));
    for (size_t n = 0; n < hidden; ++n) {
      tolerances[n] += (carried + own) * std::abs(w2[n * inner + i]);
    }
  }
  return tolerances;
}

TEST_P(ExpertFfnTest, EqualsTheReferenceAtTheEdgesOfTiles) {
  const int64_t kSizes[][3] = {{1, 1, 1},     {2, 16, 31}, {3, 17, 32},   {5, 64, 33},
                               {7, 65, 64},   {6, 96, 65}, {13, 63, 127}, {1, 130, 96},
                               {20, 48, 200}, {8, 33, 515}};
  for (const auto& [num_rows, hidden, inner] : kSizes) {
    SCOPED_TRACE(testing::Message() << num_rows << " rows, " << hidden << " x " << inner);
    const TestExpert expert(hidden, inner, compute_dtype(), 20);
    const TestTensor input = RandomTensor({num_rows, hidden}, compute_dtype(), 24);
    const auto actual = RunExpert(kernels_.get(), *expert.Pack(kernels_.get()), AllRows(input));
    const auto expected =
        RunExpert(reference_.get(), *expert.Pack(reference_.get()), AllRows(input));
    const std::vector<float> x = input.floats();
    for (int64_t r = 0; r < num_rows; ++r) {
      const auto tolerances = Tolerances(expert, x.data() + r * hidden, compute_dtype());
      for (int64_t n = 0; n < hidden; ++n) {
        const auto i = static_cast<size_t>(r * hidden + n);
        const double rounding =
            compute_dtype() == DType::kBF16 ? kBf16Step * std::abs(expected[i]) : 0;
        ASSERT_NEAR(actual[i], expected[i], tolerances[static_cast<size_t>(n)] + rounding)
            << "row " << r << ", element " << n;
      }
    }
  }
}

TEST_P(ExpertFfnTest, ARowHasTheSameBitsAloneAndInEveryBatch) {
  const TestExpert expert(130, 333, compute_dtype(), 30);
  const auto packed = expert.Pack(kernels_.get());
  const TestTensor input = RandomTensor({70, 130}, compute_dtype(), 34);
  const auto rows = AllRows(input);
  const std::vector<float> whole = RunExpert(kernels_.get(), *packed, rows);
  for (const int64_t size : {1, 2, 3, 5, 6, 7, 12, 31}) {
    const std::vector<const std::byte*> some(rows.begin() + 10, rows.begin() + 10 + size);
    const std::vector<float> expected(whole.begin() + 10 * 130, whole.begin() + (10 + size) * 130);
    EXPECT_TRUE(SameBits(RunExpert(kernels_.get(), *packed, some), expected)) << size << " rows";
  }
}

TEST_P(ExpertFfnTest, GroupsOfOneCallEqualCallsOfTheirOwn) {
  const TestExpert a(64, 100, compute_dtype(), 40), b(64, 100, compute_dtype(), 50),
      wide(64, 700, compute_dtype(), 60);
  const auto packed_a = a.Pack(kernels_.get()), packed_b = b.Pack(kernels_.get()),
             packed_wide = wide.Pack(kernels_.get());
  const TestTensor input = RandomTensor({40, 64}, compute_dtype(), 70);
  const auto rows = AllRows(input);
  const std::vector<std::vector<const std::byte*>> chosen = {
      {rows[3]}, {rows.begin(), rows.begin() + 9}, {}, {rows.begin(), rows.end()}, {rows[3]}};
  const PackedExpert* experts[] = {packed_a.get(), packed_b.get(), packed_a.get(),
                                   packed_wide.get(), packed_a.get()};
  std::vector<TestTensor> outputs;
  for (const auto& group : chosen) {
    outputs.push_back(PoisonedTensor({static_cast<int64_t>(group.size()), 64}, compute_dtype()));
  }
  std::vector<ExpertRows> groups;
  for (size_t g = 0; g < chosen.size(); ++g) {
    groups.push_back({experts[g], chosen[g], outputs[g].bytes.data()});
  }
  kernels_->ExpertFfn({groups});
  for (size_t g = 0; g < chosen.size(); ++g) {
    EXPECT_TRUE(SameBits(outputs[g].floats(), RunExpert(kernels_.get(), *experts[g], chosen[g])))
        << "group " << g;
  }
}

TEST_P(ExpertFfnTest, RowsNeedNoAlignment) {
  const TestExpert expert(50, 70, compute_dtype(), 80);
  const auto packed = expert.Pack(kernels_.get());
  const TestTensor input = RandomTensor({1, 50}, compute_dtype(), 84);
  std::vector<std::byte> shifted(input.bytes.size() + 1);
  std::copy(input.bytes.begin(), input.bytes.end(), shifted.begin() + 1);
  EXPECT_TRUE(SameBits(RunExpert(kernels_.get(), *packed, {shifted.data() + 1}),
                       RunExpert(kernels_.get(), *packed, {input.row(0)})));
}

// Every (w1 x) of one row is 1 times a chosen value, w3 x is 1 and w2 the identity: the answer is
// silu itself.
TEST(SiluTest, IsWithinSixUnitsInTheLastPlaceOverItsWholeRange) {
  const int64_t n = KernelsAreEmulated() ? 128 : 2048;
  std::vector<float> gates;
  for (int64_t i = 0; i < n; ++i) gates.push_back(static_cast<float>(i - n / 2) * (174.0f / n));
  std::vector<float> identity(static_cast<size_t>(n * n), 0.0f), ones(identity.size(), 0.0f),
      diagonal(identity.size(), 0.0f);
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    identity[i * n + i] = 1.0f;
    diagonal[i * n + i] = gates[i];
    ones[i * n + i] = 1.0f;
  }
  const TestTensor w1 = MakeTensor(diagonal, {n, n}, DType::kF32);
  const TestTensor w3 = MakeTensor(ones, {n, n}, DType::kF32);
  const TestTensor w2 = MakeTensor(identity, {n, n}, DType::kF32);
  const TestTensor input = MakeTensor(std::vector<float>(n, 1.0f), {1, n}, DType::kF32);
  for (const KernelsCase& kernels_case : AllKernels()) {
    if (kernels_case.compute_dtype != DType::kF32) continue;
    const auto backend = MakeKernels(kernels_case);
    if (backend == nullptr) GTEST_SKIP() << "no CUDA device: skipped";
    const auto packed = backend->PackExpert(w1.view(), w3.view(), w2.view());
    ASSERT_TRUE(packed.ok());
    const std::vector<float> actual = RunExpert(backend.get(), **packed, {input.row(0)});
    for (size_t i = 0; i < actual.size(); ++i) {
      const double gate = gates[i];
      const double expected = gate / (1 + std::exp(-gate));
      // exp 1.5 units, the sum, the quotient and the product half a unit each, doubled for the
      // position within a binade.
      ASSERT_NEAR(actual[i], expected, 12 * kEpsilon * std::abs(expected))
          << KernelsCaseName(kernels_case) << " at " << gate;
    }
  }
}

// All tokens to few experts, and to many; experts without a token.
TEST_P(ExpertFfnTest, RoutedRowsGiveTheBitsOfRowsThatAreSent) {
  struct Case {
    int64_t num_tokens;
    int num_experts, top_k, num_used;
  };
  const Case kCases[] = {{1, 8, 2, 8},  {2, 4, 1, 1},  {7, 8, 2, 3},   {9, 5, 3, 5},  {33, 8, 2, 8},
                         {50, 3, 2, 2}, {65, 3, 2, 2}, {130, 8, 2, 7}, {200, 3, 2, 2}};
  constexpr int64_t kHidden = 72, kInner = 40;
  for (const auto& [num_tokens, num_experts, top_k, num_used] : kCases) {
    SCOPED_TRACE(testing::Message() << num_tokens << " tokens, " << num_experts << " experts");
    std::vector<std::unique_ptr<PackedExpert>> packed;
    std::vector<const PackedExpert*> experts;
    for (int e = 0; e < num_experts; ++e) {
      packed.push_back(
          TestExpert(kHidden, kInner, compute_dtype(), 40 + 3 * e).Pack(kernels_.get()));
      experts.push_back(packed.back().get());
    }
    const TestTensor input = RandomTensor({num_tokens, kHidden}, compute_dtype(), 30);
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < num_tokens; ++t) {
      for (int r = 0; r < top_k; ++r) ids.push_back(static_cast<int32_t>((t * 5 + r) % num_used));
    }
    TestTensor output = PoisonedTensor({num_tokens * top_k, kHidden}, compute_dtype());
    kernels_->RoutedExperts(
        {experts, input.bytes.data(), ids.data(), output.bytes.data(), num_tokens, top_k});
    const std::vector<float> actual = output.floats();
    for (size_t pair = 0; pair < ids.size(); ++pair) {
      const int64_t token = static_cast<int64_t>(pair) / top_k;
      const auto expected =
          RunExpert(kernels_.get(), *experts[static_cast<size_t>(ids[pair])], {input.row(token)});
      ASSERT_EQ(
          std::memcmp(actual.data() + pair * kHidden, expected.data(), kHidden * sizeof(float)), 0)
          << "pair " << pair;
    }
  }
}

TEST_P(ExpertFfnTest, NoTokensAreRoutedNowhere) {
  kernels_->RoutedExperts({{}, nullptr, nullptr, nullptr, 0, 2});
}

}  // namespace
}  // namespace tramontane
