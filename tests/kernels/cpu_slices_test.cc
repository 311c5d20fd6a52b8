// More rows than the backend holds at once: done a part after the other, with the bits of the
// whole.
#include <cstring>
#include <span>
#include <vector>

#include "kernels/cpu/memory_size.h"
#include "kernels/expert_ffn.h"
#include "tests/kernels/kernels_test.h"

namespace tramontane {
namespace {

constexpr int64_t kHidden = 24;

class CpuSlicesTest : public KernelsTest {};
INSTANTIATE_TEST_SUITE_P(, CpuSlicesTest, testing::ValuesIn(AllKernels()), KernelsTestName);

TEST_P(CpuSlicesTest, GroupsOfExperts) {
  const TestTensor w1 = RandomTensor({20, kHidden}, compute_dtype(), 1, 0.3f),
                   w3 = RandomTensor({20, kHidden}, compute_dtype(), 2, 0.3f),
                   w2 = RandomTensor({kHidden, 20}, compute_dtype(), 3, 0.3f);
  const auto expert = kernels_->PackExpert(w1.view(), w3.view(), w2.view());
  ASSERT_TRUE(expert.ok());
  const TestTensor input = RandomTensor({17, kHidden}, compute_dtype(), 4);
  std::vector<const std::byte*> distinct;
  for (int64_t r = 0; r < 17; ++r) distinct.push_back(input.row(r));
  TestTensor few = PoisonedTensor({17, kHidden}, compute_dtype());
  const ExpertRows alone = {expert->get(), distinct, few.bytes.data()};
  kernels_->ExpertFfn({{&alone, 1}});

  // The first part ends within the second group, the second one within the fourth.
  const size_t counts[] = {5'000, 4'000, 0, 8'000, 3};
  size_t num_rows = 0;
  for (const size_t count : counts) num_rows += count;
  ASSERT_GT(num_rows, size_t{2 * cpu::kMaxActivatedRows});
  std::vector<const std::byte*> rows;
  for (size_t r = 0; r < num_rows; ++r) rows.push_back(distinct[r % 17]);
  TestTensor output = PoisonedTensor({static_cast<int64_t>(num_rows), kHidden}, compute_dtype());
  std::vector<ExpertRows> groups;
  const size_t row_bytes = kHidden * DTypeSize(compute_dtype());
  for (size_t first = 0; const size_t count : counts) {
    groups.push_back({expert->get(), std::span(rows).subspan(first, count),
                      output.bytes.data() + first * row_bytes});
    first += count;
  }
  kernels_->ExpertFfn({groups});
  for (size_t r = 0; r < num_rows; ++r) {
    ASSERT_EQ(std::memcmp(output.bytes.data() + r * row_bytes,
                          few.bytes.data() + r % 17 * row_bytes, row_bytes),
              0)
        << "row " << r;
  }
}

}  // namespace
}  // namespace tramontane
