#include "coordinator/waiting_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool Any(const Sequence&) { return true; }

class WaitingQueueTest : public testing::Test {
 protected:
  void Push(SequenceId id, int priority = 0, absl::Time expires = absl::InfiniteFuture()) {
    GenerationPlan plan;
    plan.prompt_token_ids = {1};
    plan.max_tokens = 1;
    plan.priority = priority;
    queue_.Push(
        std::make_unique<Sequence>(id, plan, nullptr, std::make_shared<TokenStream>(1, [] {}),
                                   absl::UnixEpoch(), absl::InfiniteFuture()),
        expires);
  }

  static std::vector<SequenceId> Ids(const std::vector<std::unique_ptr<Sequence>>& sequences) {
    std::vector<SequenceId> ids;
    for (const auto& sequence : sequences) ids.push_back(sequence->id());
    return ids;
  }

  WaitingQueue queue_;
};

TEST_F(WaitingQueueTest, IsInOrderOfPriorityThenArrival) {
  Push(1);
  Push(2, 3);
  Push(3, -1);
  Push(4, 3);
  EXPECT_THAT(Ids(queue_.TakeAll()), ElementsAre(2, 4, 1, 3));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WaitingQueueTest, OneThatComesBackGetsItsOldPlace) {
  for (const SequenceId id : {1, 2, 3}) Push(id);
  queue_.Push(queue_.Take(1), absl::InfiniteFuture());
  EXPECT_EQ(queue_.First(Any)->id(), 1u);
}

TEST_F(WaitingQueueTest, FirstPassesOverThoseThatMayNotRun) {
  for (const SequenceId id : {1, 2, 3}) Push(id);
  EXPECT_EQ(queue_.First([](const Sequence& sequence) { return sequence.id() != 1; })->id(), 2u);
  EXPECT_EQ(queue_.First([](const Sequence&) { return false; }), nullptr);
}

TEST_F(WaitingQueueTest, VisitsThoseOfLowerPrioritiesTheLastFirst) {
  Push(1);
  Push(2, 3);
  Push(3, -1);
  Push(4);
  std::vector<SequenceId> visited;
  const auto visit = [&visited](const Sequence& sequence) {
    visited.push_back(sequence.id());
    return visited.size() < 3;
  };
  queue_.VisitLower(0, visit);
  EXPECT_THAT(visited, ElementsAre(3));
  visited.clear();
  queue_.VisitLower(4, visit);
  EXPECT_THAT(visited, ElementsAre(3, 4, 1));
}

TEST_F(WaitingQueueTest, TakesOutByIdOnce) {
  Push(1);
  EXPECT_EQ(queue_.Take(7), nullptr);
  EXPECT_EQ(queue_.Find(1)->id(), 1u);
  EXPECT_EQ(queue_.Take(1)->id(), 1u);
  EXPECT_EQ(queue_.Find(1), nullptr);
  EXPECT_EQ(queue_.next_expiry(), absl::InfiniteFuture());
}

TEST_F(WaitingQueueTest, TakesThoseThatHaveExpired) {
  const absl::Time start = absl::UnixEpoch();
  Push(1, 0, start + absl::Seconds(3));
  Push(2, 0, start + absl::Seconds(1));
  Push(3);
  EXPECT_EQ(queue_.next_expiry(), start + absl::Seconds(1));
  EXPECT_THAT(Ids(queue_.TakeExpired(start)), IsEmpty());
  EXPECT_THAT(Ids(queue_.TakeExpired(start + absl::Seconds(3))), ElementsAre(2, 1));
  EXPECT_EQ(queue_.size(), 1u);
}

}  // namespace
}  // namespace tramontane
