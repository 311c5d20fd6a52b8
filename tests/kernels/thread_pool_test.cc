#include "kernels/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "kernels/processor_count.h"

namespace tramontane {
namespace {

TEST(ThreadPoolTest, CoversEveryIndexOnceInRangesOfAtMostGrain) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      for (const int64_t grain : {1, 3, 2000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        std::atomic<bool> in_bounds{true};
        pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end, int thread) {
          if (begin >= end || end - begin > grain || thread < 0 || thread >= num_threads) {
            in_bounds = false;
          }
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        EXPECT_TRUE(in_bounds);
        EXPECT_TRUE(std::all_of(visits.begin(), visits.end(), [](const auto& v) { return v == 1; }))
            << count << " indices, grain " << grain;
      }
    }
  }
}

TEST(ThreadPoolTest, NoTwoCallsAtOnceShareAThreadNumber) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> shared{false};
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(16, 1, [&](int64_t, int64_t, int thread) {
      if (inside[static_cast<size_t>(thread)]++ != 0) shared = true;
      inside[static_cast<size_t>(thread)]--;
    });
  }
  EXPECT_FALSE(shared);
}

TEST(ThreadPoolTest, WhatAWorkerWroteIsSeenByTheCaller) {
  ThreadPool pool(3);
  std::vector<int64_t> squares(5000);  // not atomic: the pool orders these writes
  for (int round = 1; round <= 20; ++round) {
    pool.ParallelFor(5000, 7, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) squares[static_cast<size_t>(i)] += i;
    });
  }
  for (int64_t i = 0; i < 5000; ++i) ASSERT_EQ(squares[static_cast<size_t>(i)], 20 * i);
}

TEST(ThreadPoolTest, ASecondCallerWaitsItsTurn) {
  ThreadPool pool(2);
  int64_t sum = 0;  // not atomic: one range is one call, and calls take turns
  const auto call = [&] {
    for (int round = 0; round < 500; ++round) {
      pool.ParallelFor(1, 1, [&](int64_t, int64_t, int) { ++sum; });
    }
  };
  std::thread a(call), b(call);
  a.join();
  b.join();
  EXPECT_EQ(sum, 1000);
}

TEST(ProcessorCountTest, IsAtLeastOneAndAtMostTheMachines) {
  EXPECT_GE(ProcessorCount(), 1);
  EXPECT_LE(ProcessorCount(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(ProcessorCountTest, ACgroupsQuotaIsRoundedUp) {
  EXPECT_EQ(ProcessorsOfCpuMax("200000 100000"), 2);
  EXPECT_EQ(ProcessorsOfCpuMax("150000 100000"), 2);
  EXPECT_EQ(ProcessorsOfCpuMax("10000 100000"), 1);
}

TEST(ProcessorCountTest, NoQuotaIsNoLimit) {
  for (const char* text : {"max 100000", "", "-1 100000", "x", "100000 0"}) {
    EXPECT_EQ(ProcessorsOfCpuMax(text), 0) << text;
  }
}

}  // namespace
}  // namespace tramontane
