#include "coordinator/admission.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace tramontane {
namespace {

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    for (int worker = 0; worker < 2; ++worker) {
      events_->AddLoop();
      admission_.AddWorker();
    }
  }

  void Enter(SequenceId id) {
    GenerationPlan plan;
    for (int32_t token = 0; token < 20; ++token) plan.prompt_token_ids.push_back(token);
    plan.max_tokens = 4;
    std::vector<std::unique_ptr<Sequence>> completions;
    completions.push_back(std::make_unique<Sequence>(id, std::move(plan), /*tokenizer=*/nullptr,
                                                     std::make_shared<TokenStream>(64, nullptr),
                                                     absl::UnixEpoch(), absl::InfiniteFuture()));
    Refusal refusal{};
    EXPECT_TRUE(admission_.Enter(std::move(completions), refusal).ok());
  }

  // Whether the worker's loop was woken since it was asked last.
  bool Woken(int worker) { return events_->wake(worker).WaitFor(absl::ZeroDuration()); }

  // One has run on the first worker, so that this is everybody's choice; both are ready.
  void RunOneOnTheFirst() {
    admission_.SetLoad(0, kReady);
    Enter(1);
    ASSERT_NE(admission_.Next(0), nullptr);
    admission_.SetLoad(0, kReady);
    admission_.SetLoad(1, kReady);
  }

  const AttentionLoad kReady = {.ready = true};
  absl::Time now_ = absl::UnixEpoch();
  const std::shared_ptr<StreamEvents> events_ = std::make_shared<StreamEvents>();
  Admission admission_{/*kv_block_size=*/16, events_, {.clock = [this] { return now_; }}};
};

TEST_F(AdmissionTest, AWorkerWithoutRoomWakesTheOthersAndNotItself) {
  Enter(1);
  Enter(2);
  EXPECT_TRUE(Woken(0));
  EXPECT_TRUE(Woken(1));
  admission_.SetLoad(0, {.ready = true});
  std::unique_ptr<Sequence> next = admission_.Next(0);
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(Woken(1)) << "the second one may be its own";
  admission_.Return(std::move(next));
  admission_.SetLoad(0, {.ready = false});
  EXPECT_TRUE(Woken(1));
  EXPECT_FALSE(Woken(0));
}

TEST_F(AdmissionTest, WhatALateWorkerWouldBeGivenGoesToAnotherThatIsReady) {
  RunOneOnTheFirst();
  admission_.Expect(0, now_ + absl::Seconds(1));
  Enter(2);
  EXPECT_EQ(admission_.Next(1), nullptr);
  now_ += absl::Seconds(1);
  admission_.Expect(0, now_ + absl::Seconds(1));
  EXPECT_EQ(admission_.Next(1), nullptr) << "it has been heard of";
  now_ += absl::Seconds(1);
  EXPECT_NE(admission_.Next(1), nullptr);
}

TEST_F(AdmissionTest, WhereAllAreLateNothingIsSaidOfAny) {
  RunOneOnTheFirst();
  for (const int worker : {0, 1}) admission_.Expect(worker, now_);
  Enter(2);
  EXPECT_EQ(admission_.EstimatedWait(0), absl::ZeroDuration());
  EXPECT_EQ(admission_.Next(1), nullptr);
  EXPECT_NE(admission_.Next(0), nullptr);
}

TEST_F(AdmissionTest, APlaceBesideASiblingIsNotWaitedForWhereItsWorkerIsLate) {
  for (const int worker : {0, 1}) admission_.SetLoad(worker, kReady);
  Enter(1);
  std::unique_ptr<Sequence> sequence = admission_.Next(0);
  ASSERT_NE(sequence, nullptr);
  sequence->JoinWorker(0);
  admission_.Return(std::move(sequence));
  EXPECT_EQ(admission_.Next(1), nullptr);
  admission_.Expect(0, now_);
  EXPECT_NE(admission_.Next(1), nullptr);
}

TEST_F(AdmissionTest, ThePlacesOfALateWorkerAreNotPromisedWhileAnotherServes) {
  admission_.SetLoad(0, kReady);
  admission_.SetLoad(1, {.ready = false});
  EXPECT_EQ(admission_.EstimatedWait(0), absl::ZeroDuration());
  admission_.Expect(0, now_);
  EXPECT_NE(admission_.EstimatedWait(0), absl::ZeroDuration()) << "the other one has no place";
}

}  // namespace
}  // namespace tramontane
