#include "coordinator/token_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>

namespace tramontane {
namespace {

GenerationOutput Token(int32_t id) {
  GenerationOutput output;
  output.token_ids = {id};
  output.text = std::to_string(id) + " ";
  return output;
}

TEST(TokenStreamTest, TakesWhatHasComeMerged) {
  TokenStream stream(100, nullptr);
  stream.Append(Token(1));
  stream.Append(Token(2));
  TokenStream::Batch batch = stream.Take(10);
  EXPECT_EQ(batch.output.text, "1 2 ");
  EXPECT_EQ(batch.output.token_ids, (std::vector<int32_t>{1, 2}));
  EXPECT_FALSE(batch.end.has_value());
  EXPECT_TRUE(stream.Take(10).output.empty());
}

GenerationOutput Token(int32_t id, int completion_index) {
  GenerationOutput output = Token(id);
  output.completion_index = completion_index;
  return output;
}

TEST(TokenStreamTest, MergesWithinACompletionAndTakesThemInTurn) {
  TokenStream stream(100, nullptr, 3);
  for (const int32_t id : {1, 2}) {
    for (const int completion : {0, 1, 2}) stream.Append(Token(10 * completion + id, completion));
  }
  stream.End(absl::OkStatus());
  stream.End(absl::OkStatus());
  for (const int completion : {0, 1, 2}) {
    const TokenStream::Batch batch = stream.Take(10);
    EXPECT_EQ(batch.output.completion_index, completion);
    EXPECT_EQ(batch.output.token_ids,
              (std::vector<int32_t>{10 * completion + 1, 10 * completion + 2}));
    EXPECT_FALSE(batch.end.has_value()) << "one goes on";
  }
  stream.End(absl::OkStatus());
  EXPECT_TRUE(stream.Take(10).end.has_value());
}

TEST(TokenStreamTest, TheFailureOfOneCompletionEndsTheStreamForAll) {
  int calls = 0;
  TokenStream stream(
      100, [&calls] { ++calls; }, 2);
  stream.Append(Token(1, 1));
  stream.End(absl::UnavailableError("no expert"));
  EXPECT_EQ(calls, 1) << "the others are to leave";
  EXPECT_EQ(stream.cancelled().code(), absl::StatusCode::kUnavailable);
  const TokenStream::Batch batch = stream.Take(10);
  EXPECT_EQ(batch.output.token_ids.size(), 1u);
  EXPECT_EQ(batch.end->code(), absl::StatusCode::kUnavailable);
}

TEST(TokenStreamTest, TakesNoMoreThanAskedForAndTheEndLast) {
  TokenStream stream(100, nullptr);
  for (int id = 0; id < 3; ++id) stream.Append(Token(id));
  stream.End(absl::OkStatus());
  TokenStream::Batch batch = stream.Take(2);
  EXPECT_EQ(batch.output.token_ids.size(), 2u);
  EXPECT_FALSE(batch.end.has_value());
  batch = stream.Take(2);
  EXPECT_EQ(batch.output.token_ids.size(), 1u);
  EXPECT_TRUE(batch.end.has_value() && batch.end->ok());
}

TEST(TokenStreamTest, IsFullAtItsCapacityAndTellsWhenThereIsRoom) {
  int room = 0;
  TokenStream stream(2, [&room] { ++room; });
  stream.Append(Token(1));
  EXPECT_FALSE(stream.full());
  stream.Append(Token(2));
  EXPECT_TRUE(stream.full());
  stream.Take(1);
  EXPECT_FALSE(stream.full());
  EXPECT_EQ(room, 1);
  stream.Take(1);
  EXPECT_EQ(room, 1) << "it was not full";
}

TEST(TokenStreamTest, ReadyIsCalledForWhatIsThereAndWhatComes) {
  TokenStream stream(100, nullptr);
  stream.Append(Token(1));
  int ready = 0;
  stream.SetReadyCallback([&ready] { ++ready; });
  EXPECT_EQ(ready, 1);
  stream.Append(Token(2));
  EXPECT_EQ(ready, 2);
  stream.End(absl::OkStatus());
  EXPECT_EQ(ready, 3);
  stream.SetReadyCallback(nullptr);
}

TEST(TokenStreamTest, CancelDropsWhatIsQueuedAndEndsTheReading) {
  int room = 0;
  TokenStream stream(100, [&room] { ++room; });
  stream.Append(Token(1));
  stream.Cancel(absl::CancelledError("gone"));
  EXPECT_EQ(room, 1) << "the scheduler is woken";
  EXPECT_EQ(stream.cancelled().code(), absl::StatusCode::kCancelled);
  stream.Append(Token(2));
  stream.End(absl::OkStatus());
  const TokenStream::Batch batch = stream.Take(10);
  EXPECT_TRUE(batch.output.empty());
  ASSERT_TRUE(batch.end.has_value());
  EXPECT_EQ(batch.end->code(), absl::StatusCode::kCancelled);
}

TEST(TokenStreamTest, CancelAfterTheEndIsNothing) {
  TokenStream stream(100, nullptr);
  stream.End(absl::OkStatus());
  stream.Cancel(absl::CancelledError("late"));
  EXPECT_TRUE(stream.cancelled().ok());
  EXPECT_TRUE(stream.Take(1).end->ok());
}

TEST(TokenStreamTest, ReaderInAnotherThreadGetsEveryTokenInOrder) {
  constexpr int kTokens = 2000;
  TokenStream stream(kTokens, nullptr);
  std::thread writer([&stream] {
    for (int id = 0; id < kTokens; ++id) stream.Append(Token(id));
    stream.End(absl::OkStatus());
  });
  std::vector<int32_t> token_ids;
  TokenStream::Batch batch;
  do {
    batch = stream.Take(7);
    token_ids.insert(token_ids.end(), batch.output.token_ids.begin(), batch.output.token_ids.end());
  } while (!batch.end.has_value());
  writer.join();
  ASSERT_EQ(token_ids.size(), static_cast<size_t>(kTokens));
  for (int id = 0; id < kTokens; ++id) EXPECT_EQ(token_ids[static_cast<size_t>(id)], id);
}

}  // namespace
}  // namespace tramontane
