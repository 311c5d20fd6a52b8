#include "proto/wire/row_pointers.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/proto/pieces.h"

namespace tramontane {
namespace {

std::string Row(const RowPointers& located, size_t row, size_t row_bytes) {
  return std::string(reinterpret_cast<const char*>(located.rows[row]), row_bytes);
}

TEST(RowPointersTest, PointsIntoAPayloadOfOnePiece) {
  const Pieces pieces("aaabbbccc");
  const RowPointers located = LocateRows(pieces.get(), 3, 3);
  ASSERT_EQ(located.rows.size(), 3u);
  EXPECT_EQ(located.straddling, nullptr);
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(located.rows[row], pieces.get()[0].data() + 3 * row);
  }
}

TEST(RowPointersTest, CopiesOnlyRowsThatStraddle) {
  const Pieces pieces("aaabbbccc", 4);  // aaab bbcc c
  const RowPointers located = LocateRows(pieces.get(), 3, 3);
  EXPECT_EQ(located.rows[0], pieces.get()[0].data());
  EXPECT_EQ(Row(located, 1, 3), "bbb");
  EXPECT_EQ(Row(located, 2, 3), "ccc");
}

TEST(RowPointersTest, FindsEveryRowHoweverThePayloadIsCut) {
  std::string text;
  for (int i = 0; i < 60; ++i) text.push_back(static_cast<char>('A' + i));
  for (size_t piece_bytes = 1; piece_bytes <= text.size(); ++piece_bytes) {
    const Pieces pieces(text, piece_bytes);
    for (const size_t row_bytes : {2, 4, 6, 10, 60}) {
      const size_t num_rows = text.size() / row_bytes;
      const RowPointers located =
          LocateRows(pieces.get(), static_cast<int64_t>(num_rows), row_bytes);
      for (size_t row = 0; row < num_rows; ++row) {
        ASSERT_EQ(Row(located, row, row_bytes), text.substr(row * row_bytes, row_bytes))
            << "pieces of " << piece_bytes << ", rows of " << row_bytes;
      }
    }
  }
}

TEST(RowPointersTest, NoRowsNeedNoPayload) { EXPECT_TRUE(LocateRows({}, 0, 8).rows.empty()); }

}  // namespace
}  // namespace tramontane
