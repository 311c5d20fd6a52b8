#include "expert_worker/merged_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/expert_worker/fixtures.h"
#include "tests/expert_worker/gated_backend.h"

namespace tramontane {
namespace {

constexpr int kHiddenSize = 64;  // of tiny_f32
constexpr int kNumExperts = 8;

struct Kernels {
  DType dtype;
  const char* isa;  // "reference": that backend
};

std::unique_ptr<Backend> MakeBackend(const Kernels& kernels) {
  if (std::string(kernels.isa) == "reference") return CreateReferenceBackend(kernels.dtype);
  CpuBackendOptions options;
  options.compute_dtype = kernels.dtype;
  options.num_threads = 2;
  options.isa = kernels.isa;
  absl::StatusOr<std::unique_ptr<Backend>> backend = CreateCpuBackend(options);
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

// Rows, and a task that sends them to some experts in any order.
struct RandomTask {
  RandomTask(const HostedExperts& experts, int layer, std::mt19937& random) {
    const auto below = [&random](size_t limit) { return static_cast<size_t>(random()) % limit; };
    const size_t num_rows = 1 + below(20);
    rows = MakeRows(static_cast<int64_t>(num_rows), kHiddenSize, experts.backend()->compute_dtype(),
                    static_cast<int>(below(1'000)));
    std::vector<int32_t> expert_ids(kNumExperts);
    for (int32_t e = 0; e < kNumExperts; ++e) expert_ids[static_cast<size_t>(e)] = e;
    std::shuffle(expert_ids.begin(), expert_ids.end(), random);
    expert_ids.resize(1 + below(kNumExperts));
    std::vector<std::vector<int32_t>> pairs(expert_ids.size());
    for (std::vector<int32_t>& indices : pairs) {
      for (size_t i = 0; i <= below(num_rows + 3); ++i) {
        indices.push_back(static_cast<int32_t>(below(num_rows)));
      }
    }
    task = MakeTask(experts, rows, layer, expert_ids, pairs);
  }
  std::vector<std::byte> rows;
  ExpertTask task;
};

std::vector<absl::StatusOr<ExpertTaskResult>> ComputeTogether(
    const HostedExperts& experts, const std::vector<const ExpertTask*>& tasks) {
  AnswerBuffers buffers(experts.backend(), size_t{1} << 20, size_t{1} << 30);
  MergedBatch batch(&experts, &buffers);
  std::vector<absl::StatusOr<ExpertTaskResult>> results;
  batch.Compute(tasks, &results);
  return results;
}

class MergedBatchBitsTest : public ::testing::TestWithParam<Kernels> {};

INSTANTIATE_TEST_SUITE_P(
    AllKernels, MergedBatchBitsTest,
    ::testing::Values(Kernels{DType::kF32, "reference"}, Kernels{DType::kBF16, "reference"},
                      Kernels{DType::kF32, "portable"}, Kernels{DType::kBF16, "portable"},
                      Kernels{DType::kF32, ""}, Kernels{DType::kBF16, ""}),
    [](const auto& param) {
      const std::string isa = param.param.isa;
      return std::string(DTypeName(param.param.dtype)) + "_" + (isa.empty() ? "widest" : isa);
    });

TEST_P(MergedBatchBitsTest, EachTaskGetsTheBitsThatItGetsAlone) {
  const std::unique_ptr<Backend> backend = MakeBackend(GetParam());
  const std::unique_ptr<HostedExperts> experts = LoadGolden("tiny_f32", "all", backend.get());
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    std::vector<RandomTask> tasks;
    const size_t num_tasks = 1 + random() % 6;
    for (size_t i = 0; i < num_tasks; ++i) tasks.emplace_back(*experts, round % 2, random);
    std::vector<std::vector<std::byte>> alone;
    for (const RandomTask& task : tasks) alone.push_back(ComputeDirectly(*experts, task.task));
    std::vector<size_t> order(num_tasks);
    for (size_t i = 0; i < num_tasks; ++i) order[i] = i;
    for (int permutation = 0; permutation < 3; ++permutation) {
      std::shuffle(order.begin(), order.end(), random);
      std::vector<const ExpertTask*> together;
      for (const size_t i : order) together.push_back(&tasks[i].task);
      const auto results = ComputeTogether(*experts, together);
      ASSERT_EQ(results.size(), num_tasks);
      for (size_t i = 0; i < num_tasks; ++i) {
        ASSERT_TRUE(results[i].ok()) << results[i].status();
        EXPECT_EQ(AnswerBytes(*experts, *results[i]), alone[order[i]]) << "round " << round;
      }
    }
  }
}

class MergedBatchTest : public ::testing::Test {
 protected:
  ExpertTask Task(const std::vector<int32_t>& expert_ids,
                  const std::vector<std::vector<int32_t>>& pairs) const {
    return MakeTask(*experts_, rows_, 1, expert_ids, pairs);
  }

  GatedBackend backend_{DType::kBF16};
  const std::unique_ptr<HostedExperts> experts_ = LoadGolden("tiny_f32", "all", &backend_);
  const std::vector<std::byte> rows_ = MakeRows(3, kHiddenSize, DType::kBF16, 1);
};

TEST_F(MergedBatchTest, ReadsEachExpertOnceForAllTasks) {
  const ExpertTask first = Task({5, 2}, {{0, 1}, {2}});
  const ExpertTask second = Task({2, 7}, {{0, 2}, {1}});
  const ExpertTask third = Task({7, 5, 2}, {{2}, {1}, {0}});
  ComputeTogether(*experts_, {&first, &second, &third});
  const auto computations = backend_.computations();
  ASSERT_EQ(computations.size(), 1u);
  ASSERT_EQ(computations[0].size(), 3u);
  EXPECT_EQ(computations[0][0].expert, experts_->Find(1, 2));
  EXPECT_EQ(computations[0][0].num_rows, 4u);
  EXPECT_EQ(computations[0][1].expert, experts_->Find(1, 5));
  EXPECT_EQ(computations[0][1].num_rows, 3u);
  EXPECT_EQ(computations[0][2].expert, experts_->Find(1, 7));
  EXPECT_EQ(computations[0][2].num_rows, 2u);
}

TEST_F(MergedBatchTest, ReadsAnExpertOnceThatATaskNamesTwice) {
  const ExpertTask task = Task({4, 6, 4}, {{0}, {1}, {2, 1}});
  const std::vector<std::byte> alone = ComputeDirectly(*experts_, task);
  const auto results = ComputeTogether(*experts_, {&task});
  ASSERT_TRUE(results[0].ok()) << results[0].status();
  EXPECT_EQ(AnswerBytes(*experts_, *results[0]), alone);
  EXPECT_EQ(backend_.computations().back().size(), 2u);
}

TEST_F(MergedBatchTest, NoMemoryForOneAnswerFailsThatTaskAlone) {
  const std::vector<int32_t> many(40);  // 40 rows of 128 bytes: more than a page
  const ExpertTask large = Task({3}, {many});
  const ExpertTask small = Task({2, 3}, {{0}, {2}});
  const std::vector<std::byte> alone = ComputeDirectly(*experts_, small);
  backend_.LimitAllocations(4096);
  const auto results = ComputeTogether(*experts_, {&large, &small});
  EXPECT_EQ(results[0].status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(results[1].ok()) << results[1].status();
  EXPECT_EQ(AnswerBytes(*experts_, *results[1]), alone);
}

TEST_F(MergedBatchTest, NoMemoryToMergeInStillGivesTheSameBits) {
  const std::vector<int32_t> most(20, 1);
  const ExpertTask first = Task({3, 0}, {most, {2}});
  const ExpertTask second = Task({3}, {most});
  const std::vector<std::byte> first_alone = ComputeDirectly(*experts_, first);
  const std::vector<std::byte> second_alone = ComputeDirectly(*experts_, second);
  backend_.LimitAllocations(4096);
  const auto results = ComputeTogether(*experts_, {&first, &second});
  ASSERT_TRUE(results[0].ok() && results[1].ok());
  EXPECT_EQ(AnswerBytes(*experts_, *results[0]), first_alone);
  EXPECT_EQ(AnswerBytes(*experts_, *results[1]), second_alone);
  EXPECT_EQ(backend_.computations().back().size(), 3u);
}

TEST_F(MergedBatchTest, AppendsToEarlierResults) {
  AnswerBuffers buffers(&backend_, 0, size_t{1} << 30);
  MergedBatch batch(experts_.get(), &buffers);
  const ExpertTask first = Task({1}, {{0}});
  const ExpertTask second = Task({1}, {{1}});
  std::vector<absl::StatusOr<ExpertTaskResult>> results;
  for (const ExpertTask* task : {&first, &second}) {
    batch.Compute(std::span<const ExpertTask* const>(&task, 1), &results);
  }
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(AnswerBytes(*experts_, *results[0]), ComputeDirectly(*experts_, first));
  EXPECT_EQ(AnswerBytes(*experts_, *results[1]), ComputeDirectly(*experts_, second));
}

}  // namespace
}  // namespace tramontane
