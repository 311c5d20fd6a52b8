#include "proto/serving/memory_trim.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kGlibcsMalloc = false;
#else
constexpr bool kGlibcsMalloc = true;
#endif

using Piece = std::unique_ptr<char[]>;

Piece Written(size_t bytes) {
  Piece piece(new char[bytes]);
  std::memset(piece.get(), 1, bytes);
  return piece;
}

// In a thread of its own, so in an arena of its own: large pieces, which are freed, between small
// ones, which are not.
std::vector<Piece> KeepLittleOfMuch(size_t large_pieces) {
  std::vector<Piece> kept;
  std::thread([&] {
    std::vector<Piece> large;
    for (size_t i = 0; i < large_pieces; ++i) {
      large.push_back(Written(100'000));  // below glibc's threshold for a mapping of its own
      kept.push_back(Written(100));
    }
  }).join();
  return kept;
}

TEST(MemoryTrimTest, WhatWasFreedGoesBackToTheSystem) {
  if (!kGlibcsMalloc) GTEST_SKIP() << "a sanitizer's malloc keeps what is freed on purpose";
  constexpr int64_t kFreed = 8 * MemoryTrim::kGrowthBytes;
  const int64_t before = AnonymousResidentBytes();
  const MemoryTrim trim(absl::Milliseconds(10));
  const std::vector<Piece> kept = KeepLittleOfMuch(kFreed / 100'000);
  const absl::Time give_up = absl::Now() + absl::Seconds(30);
  while (AnonymousResidentBytes() > before + kFreed / 4 && absl::Now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_LE(AnonymousResidentBytes(), before + kFreed / 4);
  EXPECT_EQ(kept.back()[99], 1);
}

}  // namespace
}  // namespace tramontane
