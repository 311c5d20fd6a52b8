// Products at the edges of CUDA's tiles: 8 rows and 16 outputs in a warp, 8, 16 and 32 rows in a
// block of few and slices up to 64, 64, 128 or 192 rows by 128 outputs in a block of many, 64 k in
// a step and eight parts of k.
#include <cmath>

#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using CudaProductsTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, CudaProductsTest, testing::ValuesIn(AllKernels()), KernelsTestName);

std::vector<float> Multiply(Backend* backend, const TestTensor& input, const PackedMatrix& weight) {
  std::vector<float> output = Poisoned(input.shape[0] * weight.out_features());
  MatMulArgs args;
  args.input = input.bytes.data();
  args.weight = &weight;
  args.output = output.data();
  args.num_rows = input.shape[0];
  backend->MatMul(args);
  return output;
}

std::unique_ptr<PackedMatrix> Pack(Backend* backend, const TestTensor& weight) {
  const TensorView view = weight.view();
  auto packed = backend->Pack({&view, 1});
  EXPECT_TRUE(packed.ok());
  return *std::move(packed);
}

struct Shape {
  int64_t num_rows, out_features, in_features;
};

const Shape kShapes[] = {{8, 16, 64},    {9, 128, 512},  {16, 129, 576}, {17, 127, 448},
                         {32, 31, 1024}, {33, 144, 128}, {127, 17, 192}, {128, 128, 65},
                         {129, 256, 64}, {1, 33, 4096},  {5, 257, 520},  {130, 257, 640},
                         {64, 129, 192}, {65, 80, 576},  {191, 128, 64}, {193, 130, 1088},
                         {385, 65, 640}, {300, 8, 256},  {9, 300, 128},  {33, 390, 72},
                         {64, 385, 200}};

// Inputs lie in [-1, 1): the magnitudes of a sum's terms add up to at most K, and two computations
// differ by at most 4 K kEpsilon of that; a quarter is what random terms come to, at most.
TEST_P(CudaProductsTest, EqualTheReferenceAtTheEdgesOfTiles) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_rows << " rows, " << shape.out_features << " x "
                                    << shape.in_features);
    const TestTensor input = RandomTensor({shape.num_rows, shape.in_features}, compute_dtype(), 1);
    const TestTensor weight =
        RandomTensor({shape.out_features, shape.in_features}, compute_dtype(), 2);
    const auto actual = Multiply(kernels_.get(), input, *Pack(kernels_.get(), weight));
    const auto expected = Multiply(reference_.get(), input, *Pack(reference_.get(), weight));
    const auto k = static_cast<double>(shape.in_features);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], k * kEpsilon * k) << "element " << i;
    }
  }
}

// Every class of row counts, and places of a row within its tile.
TEST_P(CudaProductsTest, ARowHasTheSameBitsInKernelsForAnyNumberOfRows) {
  constexpr int64_t kRows = 400, kOut = 140, kIn = 1100;
  const auto weight = Pack(kernels_.get(), RandomTensor({kOut, kIn}, compute_dtype(), 3));
  const std::vector<float> rows = RandomFloats(kRows * kIn, 4);
  const auto multiply = [&](int64_t begin, int64_t end) {
    const TestTensor input = MakeTensor({rows.begin() + begin * kIn, rows.begin() + end * kIn},
                                        {end - begin, kIn}, compute_dtype());
    return Multiply(kernels_.get(), input, *weight);
  };
  const std::vector<float> whole = multiply(0, kRows);
  for (const int64_t size : {1,   7,   8,   9,   16,  17,  32,  33,  64,  65,  127, 128,
                             129, 160, 161, 191, 192, 193, 320, 321, 352, 353, 385}) {
    for (const int64_t begin : {int64_t{0}, int64_t{3}, kRows - size}) {
      const std::vector<float> expected(whole.begin() + begin * kOut,
                                        whole.begin() + (begin + size) * kOut);
      EXPECT_TRUE(SameBits(multiply(begin, begin + size), expected))
          << size << " rows from row " << begin;
    }
  }
}

// As many outputs as fill any device: more than a few rows go to another kernel then.
TEST_P(CudaProductsTest, ARowHasTheSameBitsWithManyOutputs) {
  constexpr int64_t kOut = 20'000, kIn = 64;
  const auto weight = Pack(kernels_.get(), RandomTensor({kOut, kIn}, compute_dtype(), 9));
  const TestTensor input = RandomTensor({40, kIn}, compute_dtype(), 10);
  const std::vector<float> rows = input.floats();
  const std::vector<float> whole = Multiply(kernels_.get(), input, *weight);
  for (const int64_t size : {1, 9, 32}) {
    const TestTensor some =
        MakeTensor({rows.begin(), rows.begin() + size * kIn}, {size, kIn}, compute_dtype());
    EXPECT_TRUE(SameBits(Multiply(kernels_.get(), some, *weight),
                         {whole.begin(), whole.begin() + size * kOut}))
        << size << " rows";
  }
}

// More groups than one launch takes, of every class of row counts; more rows than fit into a block.
TEST_P(CudaProductsTest, ManyGroupsOfOneCallEqualCallsOfTheirOwn) {
  constexpr int64_t kHidden = 72, kInner = 136;
  const TestTensor w1 = RandomTensor({kInner, kHidden}, compute_dtype(), 5, 0.3f),
                   w3 = RandomTensor({kInner, kHidden}, compute_dtype(), 6, 0.3f),
                   w2 = RandomTensor({kHidden, kInner}, compute_dtype(), 7, 0.3f);
  const auto expert = kernels_->PackExpert(w1.view(), w3.view(), w2.view());
  ASSERT_TRUE(expert.ok());
  const TestTensor input = RandomTensor({40, kHidden}, compute_dtype(), 8);
  std::vector<std::vector<const std::byte*>> rows;
  std::vector<TestTensor> outputs;
  for (int64_t g = 0; g < 72; ++g) {
    rows.emplace_back();
    const int64_t kCounts[] = {200, 131, 70, 40, 30, 10};
    const int64_t count = g < 66 ? 1 : kCounts[g - 66];
    for (int64_t r = 0; r < count; ++r) rows.back().push_back(input.row((g + r) % 40));
    outputs.push_back(PoisonedTensor({count, kHidden}, compute_dtype()));
  }
  std::vector<ExpertRows> groups;
  for (size_t g = 0; g < rows.size(); ++g) {
    groups.push_back({expert->get(), rows[g], outputs[g].bytes.data()});
  }
  kernels_->ExpertFfn({groups});
  for (size_t g = 0; g < rows.size(); g += g < 60 ? 13 : 1) {
    TestTensor alone =
        PoisonedTensor({static_cast<int64_t>(rows[g].size()), kHidden}, compute_dtype());
    const ExpertRows group{expert->get(), rows[g], alone.bytes.data()};
    kernels_->ExpertFfn({{&group, 1}});
    EXPECT_TRUE(SameBits(outputs[g].floats(), alone.floats())) << "group " << g;
  }
}

}  // namespace
}  // namespace tramontane
