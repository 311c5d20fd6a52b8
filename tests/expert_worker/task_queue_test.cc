#include "expert_worker/task_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tramontane {
namespace {

using ::testing::ElementsAre;

// The deadline tells tests' tasks apart: the queue does not look at it.
QueuedTask Task(int name, int layer, size_t num_pairs = 1, uint64_t stream = 0) {
  QueuedTask queued;
  queued.task.layer = layer;
  queued.task.row_indices.resize(num_pairs);
  queued.task.stream = stream;
  queued.task.deadline = absl::FromUnixSeconds(name);
  return queued;
}

int Name(const QueuedTask& queued) {
  return static_cast<int>(absl::ToUnixSeconds(queued.task.deadline));
}

std::vector<int> TakeNames(TaskQueue& queue) {
  std::vector<QueuedTask> merge;
  queue.TakeMerge(&merge);
  std::vector<int> names;
  for (const QueuedTask& queued : merge) names.push_back(Name(queued));
  return names;
}

TEST(TaskQueueTest, TasksOfTheOldestsLayerLeaveTogether) {
  TaskQueue queue(3, 10, 100);
  queue.Push(Task(1, 2));
  queue.Push(Task(2, 0));
  queue.Push(Task(3, 2));
  queue.Push(Task(4, 0));
  queue.Push(Task(5, 2));
  EXPECT_THAT(TakeNames(queue), ElementsAre(1, 3, 5));
  EXPECT_THAT(TakeNames(queue), ElementsAre(2, 4));
  EXPECT_TRUE(queue.empty());
}

TEST(TaskQueueTest, ANewTaskDoesNotOvertakeAnOlderLayer) {
  TaskQueue queue(2, 10, 100);
  queue.Push(Task(1, 0));
  queue.Push(Task(2, 1));
  EXPECT_THAT(TakeNames(queue), ElementsAre(1));
  queue.Push(Task(3, 0));
  EXPECT_THAT(TakeNames(queue), ElementsAre(2));
  EXPECT_THAT(TakeNames(queue), ElementsAre(3));
}

TEST(TaskQueueTest, AMergeEndsBeforeTheTaskThatWouldExceedItsBound) {
  TaskQueue queue(1, 10, 8);
  queue.Push(Task(1, 0, 4));
  queue.Push(Task(2, 0, 4));
  queue.Push(Task(3, 0, 5));
  queue.Push(Task(4, 0, 1));
  queue.Push(Task(5, 0, 3));
  EXPECT_THAT(TakeNames(queue), ElementsAre(1, 2));
  EXPECT_THAT(TakeNames(queue), ElementsAre(3, 4));
  EXPECT_THAT(TakeNames(queue), ElementsAre(5));
}

TEST(TaskQueueTest, ATaskBeyondTheMergesBoundLeavesAlone) {
  TaskQueue queue(1, 10, 8);
  queue.Push(Task(1, 0, 9));
  queue.Push(Task(2, 0, 1));
  EXPECT_THAT(TakeNames(queue), ElementsAre(1));
}

TEST(TaskQueueTest, KnowsWhenTheOldestLayerHasAWholeMerge) {
  TaskQueue queue(2, 10, 8);
  queue.Push(Task(1, 0, 7));
  queue.Push(Task(2, 1, 9));
  EXPECT_FALSE(queue.HasFullMerge());
  queue.Push(Task(3, 0, 1));
  EXPECT_TRUE(queue.HasFullMerge());
  TakeNames(queue);
  EXPECT_TRUE(queue.HasFullMerge());
}

TEST(TaskQueueTest, CountsStreamsWithTasks) {
  TaskQueue queue(2, 10, 8);
  queue.Push(Task(1, 0, 1, /*stream=*/7));
  queue.Push(Task(2, 1, 1, /*stream=*/8));
  queue.Push(Task(3, 1, 1, /*stream=*/7));
  EXPECT_EQ(queue.num_streams(), 2);
  TakeNames(queue);
  EXPECT_EQ(queue.num_streams(), 2);
  TakeNames(queue);
  EXPECT_EQ(queue.num_streams(), 0);
}

TEST(TaskQueueTest, OneStreamMayHaveTheWholeQueueAndNoMore) {
  TaskQueue queue(1, 3, 1);
  for (int name = 1; name <= 3; ++name) EXPECT_FALSE(queue.Push(Task(name, 0)).has_value());
  const std::optional<QueuedTask> refused = queue.Push(Task(4, 0));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(Name(*refused), 4);
  EXPECT_EQ(queue.size(), 3);
}

TEST(TaskQueueTest, AnotherStreamTakesThePlaceOfTheFloodersNewestTask) {
  TaskQueue queue(2, 4, 100);
  for (int name = 1; name <= 4; ++name) queue.Push(Task(name, name % 2, 1, /*stream=*/1));
  std::optional<QueuedTask> refused = queue.Push(Task(5, 0, 1, /*stream=*/2));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(Name(*refused), 4);
  refused = queue.Push(Task(6, 0, 1, /*stream=*/2));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(Name(*refused), 3);
  EXPECT_EQ(queue.size(), 4);
  EXPECT_THAT(TakeNames(queue), ElementsAre(1));
  EXPECT_THAT(TakeNames(queue), ElementsAre(2, 5, 6));
}

TEST(TaskQueueTest, AStreamWithAsManyTasksAsAnyIsRefusedItself) {
  TaskQueue queue(1, 4, 100);
  for (int name = 1; name <= 4; ++name) queue.Push(Task(name, 0, 1, /*stream=*/name % 2));
  const std::optional<QueuedTask> refused = queue.Push(Task(5, 0, 1, /*stream=*/1));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(Name(*refused), 5);
}

// Three streams that push as fast as they can end up with a third each.
TEST(TaskQueueTest, FloodingStreamsShareTheQueueEvenly) {
  TaskQueue queue(1, 9, 1);
  for (uint64_t stream = 1; stream <= 3; ++stream) {
    for (int i = 0; i < 20; ++i) queue.Push(Task(static_cast<int>(stream), 0, 1, stream));
  }
  std::vector<int> tasks_of_stream(4);
  while (!queue.empty()) ++tasks_of_stream[static_cast<size_t>(TakeNames(queue).front())];
  EXPECT_THAT(tasks_of_stream, ElementsAre(0, 3, 3, 3));
}

TEST(TaskQueueTest, CancelledTasksLeaveAndTheOthersKeepTheirOrder) {
  TaskQueue queue(2, 10, 4);
  const auto flag = std::make_shared<std::atomic<bool>>(true);
  for (int name = 1; name <= 6; ++name) {
    QueuedTask queued = Task(name, name / 5, 1, /*stream=*/static_cast<uint64_t>(name));
    if (name % 2 == 0) queued.task.cancelled = flag;
    queue.Push(std::move(queued));
  }
  std::vector<QueuedTask> cancelled;
  queue.TakeCancelled(&cancelled);
  ASSERT_EQ(cancelled.size(), 3u);
  EXPECT_EQ(Name(cancelled[0]), 2);
  EXPECT_EQ(Name(cancelled[1]), 4);
  EXPECT_EQ(Name(cancelled[2]), 6);
  EXPECT_EQ(queue.size(), 3);
  EXPECT_EQ(queue.num_streams(), 3);
  EXPECT_THAT(TakeNames(queue), ElementsAre(1, 3));
  EXPECT_THAT(TakeNames(queue), ElementsAre(5));
}

}  // namespace
}  // namespace tramontane
