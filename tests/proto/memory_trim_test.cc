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

// Not inline: a piece that is seen to be freed again may not be allocated at all.
[[gnu::noinline]] Piece Written(size_t bytes) {
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

// In a thread that works on: pieces that were freed are the end of its arena, which nothing
// follows.
TEST(MemoryTrimTest, WhatIsFreeAtAnArenasEndGoesBackToo) {
  if (!kGlibcsMalloc) GTEST_SKIP() << "a sanitizer's malloc keeps what is freed on purpose";
  constexpr size_t kPiece = 1 << 20;
  constexpr int64_t kFreed = 40 * static_cast<int64_t>(kPiece);  // an arena has 64 MiB in a row
  const MemoryTrim trim(absl::Milliseconds(10));
  std::thread([&] {
    AnonymousResidentBytes();  // so that what it takes for itself does not follow the pieces
    std::vector<Piece> pieces;
    pieces.reserve(kFreed / kPiece);
    for (int64_t bytes = 0; bytes < kFreed; bytes += kPiece) pieces.push_back(Written(kPiece));
    const int64_t most = AnonymousResidentBytes() - kFreed * 3 / 4;
    while (!pieces.empty()) pieces.pop_back();
    const absl::Time give_up = absl::Now() + absl::Seconds(30);
    while (AnonymousResidentBytes() > most && absl::Now() < give_up) Written(10'000).reset();
    EXPECT_LE(AnonymousResidentBytes(), most);
  }).join();
}

}  // namespace
}  // namespace tramontane
