#include "proto/wire/piece_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/proto/pieces.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

TEST(PieceReaderTest, ReadsAVarintThatStraddlesPieces) {
  const Pieces pieces(std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10), 3);
  PieceReader reader(pieces.get());
  uint64_t value = 0;
  ASSERT_TRUE(reader.ReadVarint(&value).ok());
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST(PieceReaderTest, RefusesAVarintOfMoreThan64Bits) {
  const Pieces pieces(std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
  PieceReader reader(pieces.get());
  uint64_t value = 0;
  EXPECT_THAT(std::string(reader.ReadVarint(&value).message()), HasSubstr("64 bits"));
}

TEST(PieceReaderTest, RefusesAVarintThatTheMessageCutsOff) {
  const Pieces pieces(std::string("\x80\x80", 2));
  PieceReader reader(pieces.get());
  uint64_t value = 0;
  EXPECT_EQ(reader.ReadVarint(&value).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PieceReaderTest, RefusesALengthBeyondTheMessage) {
  const Pieces pieces(
      std::string("\x05"
                  "abcd",
                  5));
  PieceReader reader(pieces.get());
  size_t length = 0;
  EXPECT_THAT(std::string(reader.ReadLength(&length).message()), HasSubstr("truncated"));
}

TEST(PieceReaderTest, RefusesFieldNumberZero) {
  const Pieces pieces(std::string("\x00", 1));
  PieceReader reader(pieces.get());
  uint32_t field = 0;
  WireType type = WireType::kVarint;
  EXPECT_EQ(reader.ReadTag(&field, &type).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PieceReaderTest, RefusesATagPaddedToSixBytes) {
  const Pieces pieces(std::string("\x88\x80\x80\x80\x80\x00", 6));
  PieceReader reader(pieces.get());
  uint32_t field = 0;
  WireType type = WireType::kVarint;
  EXPECT_EQ(reader.ReadTag(&field, &type).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PieceReaderTest, RefusesALengthPaddedToSixBytes) {
  const Pieces pieces(std::string("\x80\x80\x80\x80\x80\x00", 6));
  PieceReader reader(pieces.get());
  size_t length = 0;
  EXPECT_EQ(reader.ReadLength(&length).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PieceReaderTest, TakesBytesWithoutCopyingThem) {
  const Pieces pieces("abcdefgh", 3);
  PieceReader reader(pieces.get());
  ASSERT_TRUE(reader.Skip(1).ok());
  std::vector<Piece> taken;
  ASSERT_TRUE(reader.Take(6, &taken).ok());
  EXPECT_EQ(Joined(taken), "bcdefg");
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0].data(), pieces.get()[0].data() + 1);
  EXPECT_EQ(taken[2].data(), pieces.get()[2].data());
}

TEST(PieceReaderTest, SkipsNestedGroups) {
  // Field 2 as a group that holds field 1 = 5 and an empty group 3; then one more byte.
  const Pieces pieces(std::string("\x08\x05\x1b\x1c\x14!", 6), 2);
  PieceReader reader(pieces.get());
  ASSERT_TRUE(reader.SkipField(2, WireType::kGroupStart).ok());
  EXPECT_EQ(reader.remaining(), 1u);
}

TEST(PieceReaderTest, RefusesGroupsNestedWithoutEnd) {
  const Pieces pieces(std::string(100'000, '\x13'));
  PieceReader reader(pieces.get());
  EXPECT_THAT(std::string(reader.SkipField(2, WireType::kGroupStart).message()),
              HasSubstr("nested"));
}

}  // namespace
}  // namespace tramontane
