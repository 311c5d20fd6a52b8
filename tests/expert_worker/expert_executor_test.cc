#include "expert_worker/expert_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "tests/expert_worker/fixtures.h"
#include "tests/expert_worker/gated_backend.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

using Answer = Awaited<absl::StatusOr<ExpertTaskResult>>;

ExpertExecutor::Done Into(Answer& answer) {
  return [&answer](absl::StatusOr<ExpertTaskResult> result) { answer.Set(std::move(result)); };
}

class ExpertExecutorTest : public ::testing::TestWithParam<DType> {
 protected:
  ExpertExecutorTest()
      : backend_(GetParam()),
        experts_(LoadGolden("tiny_f32", "0-3", &backend_)),
        rows_(MakeRows(3, 64, GetParam(), 1)) {}

  ExpertTask SomeTask() const { return MakeTask(*experts_, rows_, 1, {2, 0}, {{0, 2}, {1, 2, 0}}); }

  absl::Status RunToStatus(ExpertTask task) {
    ExpertExecutor executor(experts_.get(), nullptr, options_);
    Answer answer;
    executor.Submit(std::move(task), Into(answer));
    return answer.Wait().status();
  }

  GatedBackend backend_;
  std::unique_ptr<HostedExperts> experts_;
  std::vector<std::byte> rows_;
  ExpertExecutorOptions options_;
};

INSTANTIATE_TEST_SUITE_P(ComputeDTypes, ExpertExecutorTest,
                         ::testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& param) { return std::string(DTypeName(param.param)); });

TEST_P(ExpertExecutorTest, AnswersWhatTheBackendComputes) {
  const std::vector<std::byte> expected = ComputeDirectly(*experts_, SomeTask());
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  Answer answer;
  executor.Submit(SomeTask(), Into(answer));
  ASSERT_TRUE(answer.Wait().ok()) << answer.Wait().status();
  EXPECT_EQ(answer.Wait()->num_rows, 5);
  EXPECT_EQ(AnswerBytes(*experts_, *answer.Wait()), expected);
}

TEST_P(ExpertExecutorTest, ASingleTokensRowsAreComputedWhereTheyAreSubmitted) {
  const auto thread_of_answer = [this](int max_inline_rows, ExpertTask task) {
    options_.max_inline_rows = max_inline_rows;
    ExpertExecutor executor(experts_.get(), nullptr, options_);
    Awaited<std::thread::id> answered;
    const std::vector<std::byte> expected = ComputeDirectly(*experts_, task);
    executor.Submit(std::move(task), [&](absl::StatusOr<ExpertTaskResult> result) {
      EXPECT_TRUE(result.ok()) << result.status();
      if (result.ok()) {
        EXPECT_EQ(AnswerBytes(*experts_, *result), expected);
      }
      answered.Set(std::this_thread::get_id());
    });
    return answered.Wait();
  };
  const auto one_token = [this] { return MakeTask(*experts_, rows_, 1, {0, 2}, {{1}, {1}}); };
  EXPECT_EQ(thread_of_answer(2, one_token()), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(1, one_token()), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(0, one_token()), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(2, SomeTask()), std::this_thread::get_id());
}

// The submitting thread would read no other stream's rows meanwhile, to be computed with these.
TEST_P(ExpertExecutorTest, WhileSeveralStreamsSendNoneIsComputedWhereItIsSubmitted) {
  options_.stream_active_for = absl::Minutes(10);
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  const auto thread_of_answer = [&](uint64_t stream) {
    Awaited<std::thread::id> answered;
    ExpertTask task = MakeTask(*experts_, rows_, 1, {0, 2}, {{1}, {1}});
    task.stream = stream;
    executor.Submit(std::move(task), [&](absl::StatusOr<ExpertTaskResult> result) {
      EXPECT_TRUE(result.ok()) << result.status();
      answered.Set(std::this_thread::get_id());
    });
    return answered.Wait();
  };
  EXPECT_EQ(thread_of_answer(1), std::this_thread::get_id());
  EXPECT_EQ(thread_of_answer(1), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(2), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(1), std::this_thread::get_id());
  EXPECT_NE(thread_of_answer(1), std::this_thread::get_id());
}

TEST_P(ExpertExecutorTest, AnExpertThatIsNotHostedIsNotFound) {
  const absl::Status status = RunToStatus(MakeTask(*experts_, rows_, 1, {4}, {{0}}));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("expert 4 of layer 1"));
}

TEST_P(ExpertExecutorTest, RefusesWhatDoesNotFit) {
  const auto expect_refused = [this](const char* words, auto change) {
    ExpertTask task = SomeTask();
    change(task);
    const absl::Status status = RunToStatus(std::move(task));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << words;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  expect_refused("layer is 2", [](ExpertTask& task) { task.layer = 2; });
  expect_refused("layer is -1", [](ExpertTask& task) { task.layer = -1; });
  expect_refused("expert 8 is out of range", [](ExpertTask& task) { task.expert_ids[0] = 8; });
  expect_refused("row_indices[0] is 3", [](ExpertTask& task) { task.row_indices[0] = 3; });
  expect_refused("row_indices[0] is -1", [](ExpertTask& task) { task.row_indices[0] = -1; });
  expect_refused("rows_per_expert[1] is 0", [](ExpertTask& task) { task.rows_per_expert[1] = 0; });
  expect_refused("sums to 6", [](ExpertTask& task) { task.rows_per_expert[0] = 3; });
  expect_refused("equally many", [](ExpertTask& task) { task.rows_per_expert.pop_back(); });
  expect_refused("at least one", [](ExpertTask& task) {
    task.expert_ids.clear();
    task.rows_per_expert.clear();
    task.row_indices.clear();
  });
  expect_refused("--compute", [](ExpertTask& task) {
    task.row_dtype = GetParam() == DType::kF32 ? DType::kBF16 : DType::kF32;
  });
}

TEST_P(ExpertExecutorTest, RefusesMorePairsThanTheLimit) {
  options_.max_batch_rows = 4;
  EXPECT_EQ(RunToStatus(SomeTask()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(ExpertExecutorTest, RefusesRowsThatAreNotFinite) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    rows_ = MakeRows(3, 64, GetParam(), 1);
    const size_t element = 64 + 17;  // of row 1
    if (GetParam() == DType::kF32) {
      std::memcpy(rows_.data() + element * 4, &bad, 4);
    } else {
      const BFloat16 bits = ToBFloat16(bad);
      std::memcpy(rows_.data() + element * 2, &bits, 2);
    }
    const absl::Status status = RunToStatus(SomeTask());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("row 1 of layer 1"));
  }
}

TEST_P(ExpertExecutorTest, AnAnswerThatOverflowsIsInternal) {
  // The largest finite values: their products exceed float32.
  for (size_t i = 0; i < 3 * 64; ++i) {
    const float large = std::bit_cast<float>(0x7f7f0000u);  // a finite bfloat16 too
    if (GetParam() == DType::kF32) {
      std::memcpy(rows_.data() + i * 4, &large, 4);
    } else {
      const BFloat16 bits = ToBFloat16(large);
      std::memcpy(rows_.data() + i * 2, &bits, 2);
    }
  }
  const absl::Status status = RunToStatus(SomeTask());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("of layer 1 gave an infinity or a NaN"));
}

TEST_P(ExpertExecutorTest, AFullQueueIsResourceExhaustedAtOnce) {
  options_.max_queued_batches = 2;
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  backend_.Close();
  Answer computed, queued[2], refused;
  executor.Submit(SomeTask(), Into(computed));
  backend_.WaitUntilHeld();
  for (Answer& answer : queued) executor.Submit(SomeTask(), Into(answer));
  EXPECT_EQ(executor.queued_batches(), 2);
  executor.Submit(SomeTask(), Into(refused));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused.Wait().status().code(), absl::StatusCode::kResourceExhausted);
  backend_.Open();
  EXPECT_TRUE(computed.Wait().ok());
  for (Answer& answer : queued) EXPECT_TRUE(answer.Wait().ok());
}

TEST_P(ExpertExecutorTest, AnAnswerThatFindsNoRoomIsResourceExhaustedUntilOthersAreLetGoOf) {
  options_.max_answer_bytes = 1;
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  Answer refused, computed;
  {
    Answer kept;
    executor.Submit(SomeTask(), Into(kept));
    EXPECT_TRUE(kept.Wait().ok());  // whatever its size: nobody else has any
    executor.Submit(SomeTask(), Into(refused));
    EXPECT_EQ(refused.Wait().status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(refused.Wait().status().message()), HasSubstr("--max_answer_mib"));
  }
  executor.Submit(SomeTask(), Into(computed));
  EXPECT_TRUE(computed.Wait().ok());
}

TEST_P(ExpertExecutorTest, DoesNotComputeACancelledTask) {
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  backend_.Close();
  Answer computed, cancelled;
  executor.Submit(SomeTask(), Into(computed));
  backend_.WaitUntilHeld();
  auto flag = std::make_shared<std::atomic<bool>>(false);
  ExpertTask task = SomeTask();
  task.cancelled = flag;
  executor.Submit(std::move(task), Into(cancelled));
  flag->store(true);
  backend_.Open();
  EXPECT_EQ(cancelled.Wait().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(backend_.num_begun(), 1);
}

TEST_P(ExpertExecutorTest, ACancelledTaskLeavesTheQueueWithoutItsTurn) {
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  backend_.Close();
  Answer computed, cancelled, kept;
  executor.Submit(SomeTask(), Into(computed));
  backend_.WaitUntilHeld();
  ExpertTask task = SomeTask();
  task.cancelled = std::make_shared<std::atomic<bool>>(true);
  executor.Submit(std::move(task), Into(cancelled));
  executor.Submit(SomeTask(), Into(kept));
  executor.AnswerCancelled();
  ASSERT_TRUE(cancelled.has_value());
  EXPECT_EQ(cancelled.Wait().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(executor.queued_batches(), 1);
  backend_.Open();
  EXPECT_TRUE(kept.Wait().ok());
}

TEST_P(ExpertExecutorTest, DoesNotComputeATaskPastItsDeadline) {
  ExpertTask task = SomeTask();
  task.deadline = absl::Now() - absl::Milliseconds(1);
  EXPECT_EQ(RunToStatus(std::move(task)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(backend_.num_begun(), 0);
}

TEST_P(ExpertExecutorTest, DrainAnswersWhatIsQueuedAndRefusesTheRest) {
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  Answer queued[3], refused;
  for (Answer& answer : queued) executor.Submit(SomeTask(), Into(answer));
  executor.Drain();
  for (Answer& answer : queued) {
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer.Wait().ok());
  }
  executor.Submit(SomeTask(), Into(refused));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused.Wait().status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(ExpertExecutorTest, DrainPastItsDeadlineAnswersTheQueueWithoutComputingIt) {
  ExpertExecutor executor(experts_.get(), nullptr, options_);
  backend_.Close();
  Answer computed, abandoned;
  executor.Submit(SomeTask(), Into(computed));
  backend_.WaitUntilHeld();
  executor.Submit(SomeTask(), Into(abandoned));
  std::thread drain([&executor] { executor.Drain(absl::InfinitePast()); });
  // Drain closes the door and gives the queue up in one step: once a task is refused, the rest
  // holds.
  std::atomic<bool> draining = false;
  while (!draining) {
    executor.Submit(SomeTask(), [&draining](const absl::StatusOr<ExpertTaskResult>& result) {
      if (result.status().code() == absl::StatusCode::kUnavailable) draining = true;
    });
  }
  backend_.Open();
  drain.join();
  EXPECT_TRUE(computed.Wait().ok());
  EXPECT_EQ(abandoned.Wait().status().code(), absl::StatusCode::kUnavailable);
}

class CountingObserver final : public ExpertObserver {
 public:
  void OnRows(int layer, int expert, int64_t num_rows) override {
    if (layer == 1 && expert == 0) rows_of_expert_0_ += num_rows;
    if (layer == 1 && expert == 2) rows_of_expert_2_ += num_rows;
  }
  void OnBatch(const absl::Status& status, absl::Duration, absl::Duration) override {
    ++(status.ok() ? good_ : bad_);
  }
  void OnAnswerMemory(size_t num_bytes) override { answer_bytes_ = num_bytes; }
  std::atomic<int64_t> rows_of_expert_0_ = 0, rows_of_expert_2_ = 0;
  std::atomic<size_t> answer_bytes_ = 0;
  std::atomic<int> good_ = 0, bad_ = 0;
};

TEST_P(ExpertExecutorTest, TheObserverSeesRowsAndBatches) {
  CountingObserver observer;
  ExpertExecutor executor(experts_.get(), &observer, options_);
  Answer good, bad;
  executor.Submit(SomeTask(), Into(good));
  executor.Submit(MakeTask(*experts_, rows_, 1, {4}, {{0}}), Into(bad));
  executor.Drain();
  EXPECT_EQ(observer.rows_of_expert_2_, 2);
  EXPECT_EQ(observer.rows_of_expert_0_, 3);
  EXPECT_EQ(observer.good_, 1);
  EXPECT_EQ(observer.bad_, 1);
  // The good one's, which `good` still has.
  EXPECT_EQ(observer.answer_bytes_, executor.lent_answer_bytes());
  EXPECT_GT(observer.answer_bytes_, 0u);
}

}  // namespace
}  // namespace tramontane
