// The executor with batches of several streams and layers: what is computed together, what is not,
// and that no answer shows it.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "expert_worker/expert_executor.h"
#include "tests/expert_worker/fixtures.h"
#include "tests/expert_worker/gated_backend.h"

namespace tramontane {
namespace {

using Answer = Awaited<absl::StatusOr<ExpertTaskResult>>;

constexpr int kHiddenSize = 64;  // of tiny_f32

ExpertExecutor::Done Into(Answer& answer) {
  return [&answer](absl::StatusOr<ExpertTaskResult> result) { answer.Set(std::move(result)); };
}

class MergeObserver final : public ExpertObserver {
 public:
  void OnMerge(int num_tasks, int64_t num_rows) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    merges_.emplace_back(num_tasks, num_rows);
  }
  std::vector<std::pair<int, int64_t>> merges() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return merges_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<int, int64_t>> merges_;  // guarded by mutex_
};

class ExpertMergeTest : public ::testing::Test {
 protected:
  // Three pairs; another seed, other rows.
  ExpertTask Task(int layer, uint64_t stream, int seed = 1) {
    rows_.push_back(
        std::make_unique<std::vector<std::byte>>(MakeRows(2, kHiddenSize, DType::kBF16, seed)));
    ExpertTask task = MakeTask(*experts_, *rows_.back(), layer, {3, 0}, {{0, 1}, {1}});
    task.stream = stream;
    return task;
  }

  // Starts the executor with its first computation, of layer 0 for stream 1, at the closed gate.
  void StartHeld() {
    executor_ = std::make_unique<ExpertExecutor>(experts_.get(), &observer_, options_);
    backend_.Close();
    executor_->Submit(Task(0, 1), Into(held_));
    backend_.WaitUntilHeld();
  }

  void Finish() {
    backend_.Open();
    executor_->Drain();
  }

  GatedBackend backend_{DType::kBF16};
  const std::unique_ptr<HostedExperts> experts_ = LoadGolden("tiny_f32", "0-3", &backend_);
  std::vector<std::unique_ptr<std::vector<std::byte>>> rows_;
  ExpertExecutorOptions options_;
  MergeObserver observer_;
  Answer held_;
  std::unique_ptr<ExpertExecutor> executor_;
};

TEST_F(ExpertMergeTest, WaitingTasksOfALayerAreComputedTogether) {
  StartHeld();
  std::vector<Answer> answers(4);
  for (int i = 0; i < 4; ++i) {
    const size_t index = static_cast<size_t>(i);
    executor_->Submit(Task(1, index + 2, /*seed=*/i), Into(answers[index]));
  }
  Finish();
  const auto computations = backend_.computations();
  ASSERT_EQ(computations.size(), 2u);
  ASSERT_EQ(computations[1].size(), 2u);  // each expert once
  EXPECT_EQ(computations[1][0].expert, experts_->Find(1, 0));
  EXPECT_EQ(computations[1][0].num_rows, 4u);
  EXPECT_EQ(computations[1][1].expert, experts_->Find(1, 3));
  EXPECT_EQ(computations[1][1].num_rows, 8u);
  for (int i = 0; i < 4; ++i) {
    const auto& answer = answers[static_cast<size_t>(i)].Wait();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(AnswerBytes(*experts_, *answer), ComputeDirectly(*experts_, Task(1, 0, i))) << i;
  }
}

TEST_F(ExpertMergeTest, TheObserverSeesWhatWasComputedTogether) {
  StartHeld();
  Answer answers[3];
  executor_->Submit(Task(1, 2), Into(answers[0]));
  executor_->Submit(Task(0, 3), Into(answers[1]));
  executor_->Submit(Task(1, 4), Into(answers[2]));
  Finish();
  const std::vector<std::pair<int, int64_t>> expected = {{1, 3}, {2, 6}, {1, 3}};
  EXPECT_EQ(observer_.merges(), expected);
}

TEST_F(ExpertMergeTest, ComputeOfAMergeIsTheComputeOfEachOfItsTasks) {
  StartHeld();
  Answer answers[2];
  for (Answer& answer : answers) executor_->Submit(Task(1, 2), Into(answer));
  Finish();
  ASSERT_TRUE(answers[0].Wait().ok() && answers[1].Wait().ok());
  EXPECT_GT(answers[0].Wait()->compute, absl::ZeroDuration());
  EXPECT_EQ(answers[0].Wait()->compute, answers[1].Wait()->compute);
}

TEST_F(ExpertMergeTest, NoMoreThanMaxMergedRowsAreComputedTogether) {
  options_.max_merged_rows = 6;
  StartHeld();
  std::vector<Answer> answers(5);
  for (Answer& answer : answers) executor_->Submit(Task(1, 2), Into(answer));
  Finish();
  const std::vector<std::pair<int, int64_t>> expected = {{1, 3}, {2, 6}, {2, 6}, {1, 3}};
  EXPECT_EQ(observer_.merges(), expected);
}

TEST_F(ExpertMergeTest, ATaskThatFailsLeavesTheOthersOfItsMergeAlone) {
  StartHeld();
  ExpertTask cancelled = Task(1, 2);
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  cancelled.cancelled = flag;
  ExpertTask expired = Task(1, 3);
  expired.deadline = absl::Now() - absl::Seconds(1);
  ExpertTask not_a_number = Task(1, 4);
  const BFloat16 nan = ToBFloat16(std::nanf(""));
  std::memcpy(rows_.back()->data() + 2 * 5, &nan, 2);
  ExpertTask overflowing = Task(1, 5);
  const BFloat16 large = ToBFloat16(std::bit_cast<float>(0x7f7f0000u));
  for (size_t at = 0; at < rows_.back()->size(); at += 2) {
    std::memcpy(rows_.back()->data() + at, &large, 2);
  }
  ExpertTask not_hosted = Task(1, 6);
  not_hosted.expert_ids[0] = 4;
  Answer bad[5], good[2];
  executor_->Submit(Task(1, 7, 8), Into(good[0]));
  executor_->Submit(std::move(cancelled), Into(bad[0]));
  executor_->Submit(std::move(expired), Into(bad[1]));
  executor_->Submit(std::move(not_a_number), Into(bad[2]));
  executor_->Submit(std::move(overflowing), Into(bad[3]));
  executor_->Submit(std::move(not_hosted), Into(bad[4]));
  executor_->Submit(Task(1, 7, 9), Into(good[1]));
  flag->store(true);
  Finish();
  EXPECT_EQ(bad[0].Wait().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(bad[1].Wait().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(bad[2].Wait().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bad[3].Wait().status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(bad[4].Wait().status().code(), absl::StatusCode::kNotFound);
  const std::vector<std::pair<int, int64_t>> expected = {{1, 3}, {3, 9}};  // one overflows
  EXPECT_EQ(observer_.merges(), expected);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(good[i].Wait().ok()) << good[i].Wait().status();
    EXPECT_EQ(AnswerBytes(*experts_, *good[i].Wait()),
              ComputeDirectly(*experts_, Task(1, 0, 8 + i)));
  }
}

TEST_F(ExpertMergeTest, AFloodingStreamLosesItsNewestTasksToOthers) {
  options_.max_queued_batches = 4;
  StartHeld();
  Answer flood[4], other, more;
  for (Answer& answer : flood) executor_->Submit(Task(1, /*stream=*/2), Into(answer));
  executor_->Submit(Task(0, /*stream=*/3), Into(other));
  ASSERT_TRUE(flood[3].has_value());
  EXPECT_EQ(flood[3].Wait().status().code(), absl::StatusCode::kResourceExhausted);
  executor_->Submit(Task(1, /*stream=*/2), Into(more));
  ASSERT_TRUE(more.has_value());
  EXPECT_EQ(more.Wait().status().code(), absl::StatusCode::kResourceExhausted);
  Finish();
  EXPECT_TRUE(other.Wait().ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(flood[i].Wait().ok());
}

// Waits do not end here unless what they wait for comes, however slow the machine.
class ExpertLingerTest : public ExpertMergeTest {
 protected:
  ExpertLingerTest() {
    options_.merge_linger = absl::InfiniteDuration();
    options_.stream_active_for = absl::InfiniteDuration();
  }
};

TEST_F(ExpertLingerTest, ATaskWaitsForTheOtherActiveStream) {
  StartHeld();
  Answer first, second;
  executor_->Submit(Task(1, /*stream=*/2), Into(first));
  backend_.Open();
  ASSERT_TRUE(held_.Wait().ok());
  executor_->Submit(Task(1, /*stream=*/1), Into(second));
  EXPECT_TRUE(first.Wait().ok());
  EXPECT_TRUE(second.Wait().ok());
  const std::vector<std::pair<int, int64_t>> expected = {{1, 3}, {2, 6}};
  EXPECT_EQ(observer_.merges(), expected);
}

TEST_F(ExpertLingerTest, StreamsThatWaitInDifferentLayersDoNotWaitForEachOther) {
  StartHeld();
  Answer first, second;
  executor_->Submit(Task(1, /*stream=*/2), Into(first));
  executor_->Submit(Task(0, /*stream=*/1), Into(second));
  backend_.Open();
  EXPECT_TRUE(first.Wait().ok());
  executor_->Drain();
  EXPECT_TRUE(second.Wait().ok());
}

TEST_F(ExpertLingerTest, AWholeMergeDoesNotWait) {
  options_.max_merged_rows = 3;
  StartHeld();
  Answer answer;
  executor_->Submit(Task(1, /*stream=*/2), Into(answer));
  backend_.Open();
  EXPECT_TRUE(answer.Wait().ok());
}

TEST_F(ExpertLingerTest, TheWaitIsBounded) {
  options_.merge_linger = absl::Milliseconds(1);
  StartHeld();
  Answer answer;
  executor_->Submit(Task(1, /*stream=*/2), Into(answer));
  backend_.Open();
  EXPECT_TRUE(answer.Wait().ok());
}

TEST_F(ExpertLingerTest, DrainEndsTheWait) {
  StartHeld();
  Answer answer;
  executor_->Submit(Task(1, /*stream=*/2), Into(answer));
  backend_.Open();
  ASSERT_TRUE(held_.Wait().ok());
  executor_->Drain();
  EXPECT_TRUE(answer.Wait().ok());
}

TEST_F(ExpertLingerTest, ATaskThatIsCancelledWhileItWaitsIsAnsweredAtOnce) {
  StartHeld();
  Answer answer;
  ExpertTask task = Task(1, /*stream=*/2);
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  task.cancelled = flag;
  executor_->Submit(std::move(task), Into(answer));
  backend_.Open();
  ASSERT_TRUE(held_.Wait().ok());
  flag->store(true);
  executor_->AnswerCancelled();
  EXPECT_EQ(answer.Wait().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(backend_.num_begun(), 1);
}

TEST_F(ExpertMergeTest, AnswersMayOutliveTheExecutor) {
  const std::vector<std::byte> expected = ComputeDirectly(*experts_, Task(0, 1));
  StartHeld();
  Finish();
  executor_.reset();
  ASSERT_TRUE(held_.Wait().ok());
  EXPECT_EQ(AnswerBytes(*experts_, *held_.Wait()), expected);
}

TEST_F(ExpertMergeTest, IdleAnswerMemoryIsKeptForAWhileThenFreed) {
  options_.free_answers_after = absl::Milliseconds(1);
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  std::atomic<size_t> kept = 0;
  Awaited<bool> answered;
  executor.Submit(Task(0, 1), [&](absl::StatusOr<ExpertTaskResult> result) {
    result = absl::CancelledError();  // lets go of the rows, on the executor's own thread
    kept = executor.idle_answer_bytes();
    answered.Set(true);
  });
  answered.Wait();
  EXPECT_GT(kept, 0u);
  while (executor.idle_answer_bytes() != 0) std::this_thread::yield();
}

// Also where the executor's own thread has had nothing to do since it freed the last.
TEST_F(ExpertMergeTest, IdleMemoryOfInlineAnswersIsFreedToo) {
  options_.free_answers_after = absl::Milliseconds(1);
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  const std::vector<std::byte> row = MakeRows(1, kHiddenSize, DType::kBF16, 1);
  for (int num_inline = 0; num_inline < 3;) {
    std::atomic<size_t> kept = 0;
    Awaited<std::thread::id> answered;
    executor.Submit(MakeTask(*experts_, row, 0, {3}, {{0}}),
                    [&](absl::StatusOr<ExpertTaskResult> result) {
                      result = absl::CancelledError();  // lets go of the rows
                      kept = executor.idle_answer_bytes();
                      answered.Set(std::this_thread::get_id());
                    });
    // Not inline where the thread has not yet come back from freeing.
    if (answered.Wait() == std::this_thread::get_id()) ++num_inline;
    EXPECT_GT(kept, 0u);
    while (executor.idle_answer_bytes() != 0) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace tramontane
