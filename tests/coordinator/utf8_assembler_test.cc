#include "coordinator/utf8_assembler.h"

#include <gtest/gtest.h>

#include <string>

namespace tramontane {
namespace {

constexpr char kReplaced[] = "\xEF\xBF\xBD";

TEST(Utf8AssemblerTest, CharactersComeWholeHoweverTheyAreCut) {
  const std::string text = "aé漢😀\u0000z";
  std::string assembled;
  Utf8Assembler assembler;
  for (const char byte : text) {
    const std::string piece = assembler.Feed(std::string(1, byte));
    EXPECT_EQ(ReplaceInvalidUtf8(piece), piece);
    assembled += piece;
  }
  EXPECT_EQ(assembled, text);
  EXPECT_EQ(assembler.Finish(), "");
}

TEST(Utf8AssemblerTest, IncompleteCharacterIsHeldBack) {
  Utf8Assembler assembler;
  EXPECT_EQ(assembler.Feed("a\xF0\x9F\x98"), "a");
  EXPECT_EQ(assembler.Feed("\x80"
                           "b"),
            "😀b");
}

TEST(Utf8AssemblerTest, IncompleteEndBecomesOneReplacement) {
  Utf8Assembler assembler;
  EXPECT_EQ(assembler.Feed("a\xF0\x9F\x98"), "a");
  EXPECT_EQ(assembler.Finish(), kReplaced);
  EXPECT_EQ(assembler.Finish(), "");
}

// Expected values: Python's bytes.decode(errors="replace").
TEST(Utf8AssemblerTest, EachMaximalSubpartBecomesOneReplacement) {
  const std::string r = kReplaced;
  EXPECT_EQ(ReplaceInvalidUtf8("\xFF"
                               "a"),
            r + "a");
  EXPECT_EQ(ReplaceInvalidUtf8("\x80\x80"), r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xE6\xBC"
                               "a"),
            r + "a");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF"), r + r);                  // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xE0\x80\x80"), r + r + r);          // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), r + r + r + r);  // past U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x98"
                               "\xC3\xA9"),
            r + "é");
}

}  // namespace
}  // namespace tramontane
