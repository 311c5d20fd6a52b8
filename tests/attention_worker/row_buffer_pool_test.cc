#include "attention_worker/row_buffer_pool.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tramontane {
namespace {

class RowBufferPoolTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Buffer> Take(RowBufferPool& pool, size_t num_bytes) {
    auto buffer = pool.Take(num_bytes);
    EXPECT_TRUE(buffer.ok()) << buffer.status();
    EXPECT_GE((*buffer)->size(), num_bytes);
    return *std::move(buffer);
  }

  const std::unique_ptr<Backend> backend_ = CreateReferenceBackend(DType::kF32);
};

TEST_F(RowBufferPoolTest, ABufferServesAgainOnceNobodyRefersToIt) {
  RowBufferPool pool(backend_.get(), 1 << 20);
  std::shared_ptr<const Buffer> first = Take(pool, 10'000);
  const std::byte* const bytes = first->bytes();
  const std::shared_ptr<const Buffer> reader = first;
  first.reset();
  EXPECT_NE(Take(pool, 10'000)->bytes(), bytes);  // someone still reads it
}

TEST_F(RowBufferPoolTest, AboutAsManyBytesGetTheSameBuffer) {
  RowBufferPool pool(backend_.get(), 1 << 20);
  const std::byte* const bytes = Take(pool, 10'000)->bytes();
  EXPECT_EQ(Take(pool, 12'000)->bytes(), bytes);
}

TEST_F(RowBufferPoolTest, KeepsNoMoreThanItMay) {
  RowBufferPool pool(backend_.get(), 40'000);
  {
    std::vector<std::shared_ptr<const Buffer>> buffers;
    for (int i = 0; i < 10; ++i) buffers.push_back(Take(pool, 10'000));
  }
  EXPECT_GT(pool.idle_bytes(), 0u);
  EXPECT_LE(pool.idle_bytes(), 40'000u);
}

TEST_F(RowBufferPoolTest, BuffersMayOutliveThePoolAndGoOnAnotherThread) {
  auto pool = std::make_unique<RowBufferPool>(backend_.get(), 1 << 20);
  std::shared_ptr<const Buffer> buffer = Take(*pool, 100);
  pool.reset();
  std::thread([moved = std::move(buffer)]() mutable { moved.reset(); }).join();
}

}  // namespace
}  // namespace tramontane
