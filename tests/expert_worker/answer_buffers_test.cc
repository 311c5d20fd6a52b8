#include "expert_worker/answer_buffers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace tramontane {
namespace {

constexpr size_t kKiB = 1024;

class AnswerBuffersTest : public ::testing::Test {
 protected:
  std::shared_ptr<Buffer> Take(size_t num_bytes) {
    absl::StatusOr<std::shared_ptr<Buffer>> taken = buffers_->Take(num_bytes);
    EXPECT_TRUE(taken.ok()) << taken.status();
    return *std::move(taken);
  }

  const std::unique_ptr<Backend> backend_ = CreateReferenceBackend(DType::kBF16);
  std::unique_ptr<AnswerBuffers> buffers_ =
      std::make_unique<AnswerBuffers>(backend_.get(), 64 * kKiB, size_t{1} << 30);
};

TEST_F(AnswerBuffersTest, GivesAtLeastWhatWasAskedFor) {
  for (const size_t num_bytes : {size_t{1}, 4 * kKiB, 4 * kKiB + 1, 100 * kKiB}) {
    const std::shared_ptr<Buffer> buffer = Take(num_bytes);
    ASSERT_GE(buffer->size(), num_bytes);
    std::memset(buffer->bytes(), 1, buffer->size());
  }
}

TEST_F(AnswerBuffersTest, ABufferThatCameBackIsGivenAgain) {
  std::shared_ptr<Buffer> buffer = Take(10 * kKiB);
  const std::byte* bytes = buffer->bytes();
  EXPECT_EQ(buffers_->idle_bytes(), 0u);
  buffer.reset();
  EXPECT_EQ(buffers_->idle_bytes(), 16 * kKiB);
  const std::shared_ptr<Buffer> again = Take(12 * kKiB);
  EXPECT_EQ(again->bytes(), bytes);
  EXPECT_EQ(buffers_->idle_bytes(), 0u);
}

TEST_F(AnswerBuffersTest, ABufferComesBackOnceItsLastOwnerLetsGo) {
  std::shared_ptr<Buffer> first = Take(1);
  std::shared_ptr<Buffer> second = first;
  first.reset();
  EXPECT_EQ(buffers_->idle_bytes(), 0u);
  second.reset();
  EXPECT_EQ(buffers_->idle_bytes(), 4 * kKiB);
}

TEST_F(AnswerBuffersTest, TellsWhatIsOutUntilThePoolEnds) {
  std::vector<size_t> told;
  buffers_ = std::make_unique<AnswerBuffers>(
      backend_.get(), 0, 16 * kKiB, [&told](size_t lent_bytes) { told.push_back(lent_bytes); });
  std::shared_ptr<Buffer> first = Take(1);
  std::shared_ptr<Buffer> second = Take(8 * kKiB);
  EXPECT_FALSE(buffers_->Take(8 * kKiB).ok());
  first.reset();
  EXPECT_EQ(told, (std::vector<size_t>{4 * kKiB, 12 * kKiB, 8 * kKiB}));
  buffers_.reset();
  second.reset();
  EXPECT_EQ(told.size(), 3u);
}

TEST_F(AnswerBuffersTest, TwoThatAreOutAreNotTheSame) {
  const std::shared_ptr<Buffer> first = Take(1);
  const std::shared_ptr<Buffer> second = Take(1);
  EXPECT_NE(first->bytes(), second->bytes());
}

TEST_F(AnswerBuffersTest, KeepsNoMoreThanItsBound) {
  std::vector<std::shared_ptr<Buffer>> out;
  for (int i = 0; i < 10; ++i) out.push_back(Take(16 * kKiB));
  out.clear();
  EXPECT_EQ(buffers_->idle_bytes(), 64 * kKiB);
}

TEST_F(AnswerBuffersTest, DoesNotKeepABufferLargerThanItsBound) {
  Take(16 * kKiB);
  Take(65 * kKiB);
  EXPECT_EQ(buffers_->idle_bytes(), 16 * kKiB);
}

TEST_F(AnswerBuffersTest, SizesThatAreNotUsedAnyMoreMakeWay) {
  std::vector<std::shared_ptr<Buffer>> small;
  for (int i = 0; i < 16; ++i) small.push_back(Take(4 * kKiB));
  small.clear();
  ASSERT_EQ(buffers_->idle_bytes(), 64 * kKiB);
  std::shared_ptr<Buffer> large = Take(32 * kKiB);
  const std::byte* bytes = large->bytes();
  large.reset();
  EXPECT_EQ(buffers_->idle_bytes(), 64 * kKiB);
  EXPECT_EQ(Take(32 * kKiB)->bytes(), bytes);
}

TEST_F(AnswerBuffersTest, FreesEverythingAtRestUntilItIsUsedAgain) {
  Take(4 * kKiB);
  std::shared_ptr<Buffer> late = Take(8 * kKiB);
  buffers_->Rest();
  EXPECT_EQ(buffers_->idle_bytes(), 0u);
  late.reset();
  EXPECT_EQ(buffers_->idle_bytes(), 0u);
  Take(4 * kKiB);
  EXPECT_EQ(buffers_->idle_bytes(), 4 * kKiB);
}

TEST_F(AnswerBuffersTest, KnowsWhatIsOut) {
  std::shared_ptr<Buffer> kept = Take(12 * kKiB);
  std::shared_ptr<Buffer> too_large_to_keep = Take(100 * kKiB);
  EXPECT_EQ(buffers_->lent_bytes(), (16 + 128) * kKiB);
  kept.reset();
  EXPECT_EQ(buffers_->lent_bytes(), 128 * kKiB);
  too_large_to_keep.reset();
  EXPECT_EQ(buffers_->lent_bytes(), 0u);
}

TEST_F(AnswerBuffersTest, LendsNoMoreThanItsBoundButForOneAlone) {
  buffers_ = std::make_unique<AnswerBuffers>(backend_.get(), 64 * kKiB, 32 * kKiB);
  std::shared_ptr<Buffer> first = Take(16 * kKiB);
  std::shared_ptr<Buffer> second = Take(16 * kKiB);
  EXPECT_EQ(buffers_->Take(1).status().code(), absl::StatusCode::kResourceExhausted);
  second.reset();
  EXPECT_EQ(buffers_->Take(17 * kKiB).status().code(), absl::StatusCode::kResourceExhausted);
  second = Take(16 * kKiB);
  first.reset();
  second.reset();
  EXPECT_GE(Take(100 * kKiB)->size(), 100 * kKiB);
}

TEST_F(AnswerBuffersTest, BuffersOutliveThePool) {
  const std::shared_ptr<Buffer> survivor = Take(8 * kKiB);
  std::memset(survivor->bytes(), 7, survivor->size());
  buffers_.reset();
  EXPECT_TRUE(std::all_of(survivor->bytes(), survivor->bytes() + survivor->size(),
                          [](std::byte byte) { return byte == std::byte{7}; }));
}

TEST_F(AnswerBuffersTest, OutOfMemoryIsAnError) {
  const auto taken = buffers_->Take(SIZE_MAX / 4);
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(buffers_->lent_bytes(), 0u);
}

// One thread takes, others let go, as the executor's and gRPC's do.
TEST_F(AnswerBuffersTest, BuffersComeBackOnAnyThread) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    std::vector<std::shared_ptr<Buffer>> out;
    for (size_t i = 1; i <= 50; ++i) {
      out.push_back(Take(i * kKiB));
      std::memset(out.back()->bytes(), t, out.back()->size());
    }
    threads.emplace_back([out = std::move(out)]() mutable {
      for (std::shared_ptr<Buffer>& buffer : out) buffer.reset();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(buffers_->idle_bytes(), 0u);
  EXPECT_LE(buffers_->idle_bytes(), 64 * kKiB);
}

}  // namespace
}  // namespace tramontane
