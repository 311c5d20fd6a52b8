#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>

#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

using MatMulTest = KernelsTest;
INSTANTIATE_TEST_SUITE_P(, MatMulTest, testing::ValuesIn(AllKernels()), KernelsTestName);

std::vector<float> Multiply(Backend* backend, const TestTensor& input,
                            const std::vector<TestTensor>& stacked,
                            const std::vector<float>* add_to = nullptr) {
  std::vector<TensorView> views;
  for (const TestTensor& matrix : stacked) views.push_back(matrix.view());
  const auto weight = backend->Pack(views);
  EXPECT_TRUE(weight.ok());
  const int64_t num_rows = input.shape[0];
  std::vector<float> output = Poisoned(num_rows * (*weight)->out_features());
  if (add_to != nullptr) output = *add_to;
  MatMulArgs args;
  args.input = input.bytes.data();
  args.weight = weight->get();
  args.output = output.data();
  args.num_rows = num_rows;
  args.accumulate = add_to != nullptr;
  backend->MatMul(args);
  return output;
}

TestTensor Magnitudes(const TestTensor& tensor) {
  std::vector<float> values = tensor.floats();
  for (float& value : values) value = std::abs(value);
  return MakeTensor(values, tensor.shape, tensor.dtype);
}

// Either side adds K products with at most 2 K roundings, each at most kEpsilon of the sum of the
// magnitudes so far: together they differ by at most 4 K kEpsilon times the sum of all magnitudes.
void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected,
                const std::vector<float>& magnitude, int64_t num_k) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const double tolerance = 4.0 * static_cast<double>(num_k) * kEpsilon * magnitude[i];
    ASSERT_NEAR(actual[i], expected[i], tolerance) << "element " << i;
  }
}

struct Shape {
  int64_t num_rows, out_features, in_features;
};

// Around the edges of vectors (16), panels (64), units (2) and tiles of rows (up to 6).
const Shape kShapes[] = {{1, 1, 1},    {2, 15, 2},   {3, 16, 3},    {4, 17, 31},  {5, 31, 32},
                         {6, 33, 33},  {7, 63, 127}, {11, 64, 128}, {12, 65, 64}, {13, 8, 255},
                         {17, 130, 7}, {70, 96, 65}, {1, 200, 640}, {8, 48, 1026}};

TEST_P(MatMulTest, EqualsTheReferenceAtTheEdgesOfTiles) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.num_rows << " rows, " << shape.out_features << " x "
                                    << shape.in_features);
    const TestTensor input = RandomTensor({shape.num_rows, shape.in_features}, compute_dtype(), 1);
    const TestTensor weight =
        RandomTensor({shape.out_features, shape.in_features}, compute_dtype(), 2);
    ExpectNear(
        Multiply(kernels_.get(), input, {weight}), Multiply(reference_.get(), input, {weight}),
        Multiply(reference_.get(), Magnitudes(input), {Magnitudes(weight)}), shape.in_features);
  }
}

TEST_P(MatMulTest, PacksStackedMatricesOfEveryDtype) {
  const TestTensor input = RandomTensor({5, 301}, compute_dtype(), 3);
  const std::vector<TestTensor> stacked = {RandomTensor({70, 301}, DType::kF32, 4),
                                           RandomTensor({9, 301}, DType::kBF16, 5),
                                           RandomTensor({50, 301}, DType::kF16, 6)};
  std::vector<TestTensor> magnitudes;
  for (const TestTensor& matrix : stacked) magnitudes.push_back(Magnitudes(matrix));
  ExpectNear(Multiply(kernels_.get(), input, stacked), Multiply(reference_.get(), input, stacked),
             Multiply(reference_.get(), Magnitudes(input), magnitudes), 301);
}

TEST_P(MatMulTest, ARowHasTheSameBitsInEveryBatch) {
  const int64_t num_k = 1031;
  const TestTensor weight = RandomTensor({130, num_k}, compute_dtype(), 7);
  const std::vector<float> rows = RandomFloats(300 * num_k, 8);
  const auto multiply_range = [&](int64_t begin, int64_t end) {
    const TestTensor input = MakeTensor({rows.begin() + begin * num_k, rows.begin() + end * num_k},
                                        {end - begin, num_k}, compute_dtype());
    return Multiply(kernels_.get(), input, {weight});
  };
  const std::vector<float> whole = multiply_range(0, 300);
  for (int64_t size : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 37, 70}) {
    for (const int64_t begin : {int64_t{0}, int64_t{1}, 300 - size}) {
      const std::vector<float> expected(whole.begin() + begin * 130,
                                        whole.begin() + (begin + size) * 130);
      EXPECT_TRUE(SameBits(multiply_range(begin, begin + size), expected))
          << size << " rows from row " << begin;
    }
  }
}

TEST_P(MatMulTest, AccumulatingAddsTheFinishedSumOnce) {
  const TestTensor input = RandomTensor({9, 600}, compute_dtype(), 9);
  const TestTensor weight = RandomTensor({70, 600}, compute_dtype(), 10);
  const std::vector<float> before = RandomFloats(9 * 70, 11);
  std::vector<float> expected = Multiply(kernels_.get(), input, {weight});
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
  EXPECT_TRUE(SameBits(Multiply(kernels_.get(), input, {weight}, &before), expected));
}

TEST_P(MatMulTest, ZeroRowsWriteNothing) {
  const TestTensor weight = RandomTensor({3, 4}, compute_dtype(), 12);
  const TestTensor input{compute_dtype(), {0, 4}, {}};
  EXPECT_TRUE(Multiply(kernels_.get(), input, {weight}).empty());
}

TEST_P(MatMulTest, ANanReachesItsOwnRowOnly) {
  std::vector<float> rows = RandomFloats(8 * 40, 13);
  rows[3 * 40 + 39] = std::nanf("");
  const TestTensor weight = RandomTensor({20, 40}, compute_dtype(), 14);
  const std::vector<float> output =
      Multiply(kernels_.get(), MakeTensor(rows, {8, 40}, compute_dtype()), {weight});
  for (size_t i = 0; i < output.size(); ++i) {
    EXPECT_EQ(std::isnan(output[i]), i / 20 == 3) << "element " << i;
  }
}

TEST_P(MatMulTest, OneCopyOfTheWeightsIsKept) {
  const TestTensor weight = RandomTensor({128, 256}, DType::kF32, 15);
  const TensorView view = weight.view();
  const auto packed = kernels_->Pack({&view, 1});
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ((*packed)->num_bytes(), 128u * 256u * DTypeSize(compute_dtype()));
  EXPECT_EQ((*packed)->out_features(), 128);
  EXPECT_EQ((*packed)->in_features(), 256);
}

}  // namespace
}  // namespace tramontane
