#include "model/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace tramontane {
namespace {

TEST(Utf8Test, WellFormedTextIsValidToItsEnd) {
  const std::string text =
      "a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
  EXPECT_EQ(ValidUtf8Prefix(text), text.size());
  EXPECT_EQ(ValidUtf8Prefix(std::string(1, '\0')), 1u);
  EXPECT_EQ(ValidUtf8Prefix(""), 0u);
}

class IllFormedUtf8Test : public ::testing::TestWithParam<const char*> {};

TEST_P(IllFormedUtf8Test, IsRefusedAtItsFirstByte) {
  EXPECT_EQ(ValidUtf8Prefix(std::string("ok") + GetParam()), 2u);
  EXPECT_EQ(ValidUtf8Prefix(std::string("ok") + GetParam() + "more"), 2u);
}

INSTANTIATE_TEST_SUITE_P(Cases, IllFormedUtf8Test,
                         ::testing::Values("\x80",              // a continuation byte alone
                                           "\xc0\xaf",          // overlong
                                           "\xc1\xbf",          // overlong
                                           "\xe0\x9f\xbf",      // overlong
                                           "\xed\xa0\x80",      // a surrogate
                                           "\xf0\x8f\xbf\xbf",  // overlong
                                           "\xf4\x90\x80\x80",  // past U+10FFFF
                                           "\xf5\x80\x80\x80",  // no such lead
                                           "\xff", "\xc3", "\xe2\x96",
                                           "\xf0\x9f\x98"));  // truncated

}  // namespace
}  // namespace tramontane
