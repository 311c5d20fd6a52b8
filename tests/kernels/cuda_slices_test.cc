// Operations that are larger than what the backend holds at once: done a part after the other, with
// the bits of the whole.
#include "kernels/expert_ffn.h"
#include "kernels/matmul.h"
#include "kernels/routed_experts.h"
#include "tests/kernels/attention_case.h"
#include "tests/kernels/host_memory_backend.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

class CudaSlicesTest : public KernelsTest {
 protected:
  // Holds five rows, unless told otherwise, and two partial results at once.
  std::unique_ptr<Backend> MakeSmall(int64_t max_rows = 5) const {
    CudaBackendOptions options;
    options.compute_dtype = compute_dtype();
    options.max_rows = max_rows;
    options.max_partial_bytes = 2 * (128 * 4 + 8);
    auto backend = CreateCudaBackend(options);
    EXPECT_TRUE(backend.ok());
    return WithHostMemory(*std::move(backend));
  }

  std::unique_ptr<PackedExpert> PackExpert(Backend* backend, uint32_t seed) const {
    const TestTensor w1 = RandomTensor({40, 72}, compute_dtype(), seed, 0.3f),
                     w3 = RandomTensor({40, 72}, compute_dtype(), seed + 1, 0.3f),
                     w2 = RandomTensor({72, 40}, compute_dtype(), seed + 2, 0.3f);
    auto expert = backend->PackExpert(w1.view(), w3.view(), w2.view());
    EXPECT_TRUE(expert.ok());
    return *std::move(expert);
  }

  // Each row of `input` times `weight`, added to random numbers.
  static std::vector<float> AddProduct(Backend* backend, const TestTensor& weight,
                                       const TestTensor& input) {
    const TensorView view = weight.view();
    const auto packed = backend->Pack({&view, 1});
    EXPECT_TRUE(packed.ok());
    std::vector<float> output = RandomFloats(input.shape[0] * weight.shape[0], 3);
    MatMulArgs args;
    args.input = input.bytes.data();
    args.weight = packed->get();
    args.output = output.data();
    args.num_rows = input.shape[0];
    args.accumulate = true;
    backend->MatMul(args);
    return output;
  }
};
INSTANTIATE_TEST_SUITE_P(, CudaSlicesTest, testing::ValuesIn(AllKernels()), KernelsTestName);

TEST_P(CudaSlicesTest, RowsOfAMatrixThatArePadded) {
  const TestTensor weight = RandomTensor({50, 70}, compute_dtype(), 1);
  const TestTensor input = RandomTensor({13, 70}, compute_dtype(), 2);
  EXPECT_TRUE(SameBits(AddProduct(kernels_.get(), weight, input),
                       AddProduct(MakeSmall().get(), weight, input)));
}

TEST_P(CudaSlicesTest, GroupsOfExperts) {
  const TestTensor input = RandomTensor({17, 72}, compute_dtype(), 4);
  // Slices of 4 + 1, 5, 1 + 2 + 2, 5 and 2 rows.
  const size_t kCounts[] = {4, 7, 0, 2, 9};
  const auto run = [&](Backend* backend) {
    const auto a = PackExpert(backend, 10), b = PackExpert(backend, 20);
    std::vector<const std::byte*> rows;
    for (int64_t r = 0; r < 22; ++r) rows.push_back(input.row(r * 5 % 17));
    TestTensor output = PoisonedTensor({22, 72}, compute_dtype());
    std::vector<ExpertRows> groups;
    size_t first = 0;
    for (const size_t count : kCounts) {
      groups.push_back({groups.size() % 2 == 0 ? a.get() : b.get(),
                        std::span(rows).subspan(first, count),
                        output.bytes.data() + first * 72 * DTypeSize(compute_dtype())});
      first += count;
    }
    backend->ExpertFfn({groups});
    return output.floats();
  };
  EXPECT_TRUE(SameBits(run(kernels_.get()), run(MakeSmall().get())));
}

TEST_P(CudaSlicesTest, RoutedTokens) {
  const TestTensor input = RandomTensor({9, 72}, compute_dtype(), 5);
  const std::vector<int32_t> ids = {0, 1, 2, 0, 1, 2, 1, 0, 2, 1, 0, 2, 0, 1, 1, 0, 2, 1};
  const auto run = [&](Backend* backend) {
    const auto a = PackExpert(backend, 30), b = PackExpert(backend, 40),
               c = PackExpert(backend, 50);
    const PackedExpert* const experts[] = {a.get(), b.get(), c.get()};
    TestTensor output = PoisonedTensor({18, 72}, compute_dtype());
    backend->RoutedExperts({experts, input.bytes.data(), ids.data(), output.bytes.data(), 9, 2});
    return output.floats();
  };
  EXPECT_TRUE(SameBits(run(kernels_.get()), run(MakeSmall().get())));
}

// Rows that are packed first, in parts: of one product, and of two whose rows do not fit together.
TEST_P(CudaSlicesTest, ManyRows) {
  const TestTensor weight = RandomTensor({130, 70}, compute_dtype(), 6);
  const TestTensor input = RandomTensor({150, 70}, compute_dtype(), 7);
  const TestTensor rows = RandomTensor({150, 72}, compute_dtype(), 8);
  const auto run = [&](Backend* backend) {
    std::vector<float> output = AddProduct(backend, weight, input);
    const auto a = PackExpert(backend, 60), b = PackExpert(backend, 70);
    std::vector<const std::byte*> pointers;
    for (int64_t r = 0; r < 150; ++r) pointers.push_back(rows.row(r));
    TestTensor answers = PoisonedTensor({150, 72}, compute_dtype());
    const size_t row_bytes = 72 * DTypeSize(compute_dtype());
    const ExpertRows groups[] = {
        {a.get(), std::span(pointers).first(66), answers.bytes.data()},
        {b.get(), std::span(pointers).subspan(66), answers.bytes.data() + 66 * row_bytes}};
    backend->ExpertFfn({groups});
    const std::vector<float> found = answers.floats();
    output.insert(output.end(), found.begin(), found.end());
    return output;
  };
  EXPECT_TRUE(SameBits(run(kernels_.get()), run(MakeSmall(/*max_rows=*/70).get())));
}

// One query's partial results are more than the small backend holds: slices of one sequence.
TEST_P(CudaSlicesTest, AttentionOfDecodeRows) {
  AttentionShape shape;
  shape.head_dim = 64;
  shape.cache_dtype = DType::kBF16;
  const auto run = [&](Backend* backend) {
    AttentionCase attention(shape, {300, 20, 520});
    attention.Rotate(reference_.get(), {{0, 0, 300}});
    attention.Rotate(reference_.get(), {{1, 0, 20}});
    attention.Rotate(reference_.get(), {{2, 0, 520}});
    return attention.Run(backend, {{0, 299, 1}, {1, 17, 3}, {2, 519, 1}});
  };
  EXPECT_TRUE(SameBits(run(kernels_.get()), run(MakeSmall().get())));
}

}  // namespace
}  // namespace tramontane
