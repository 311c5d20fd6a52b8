#include "coordinator/stop_strings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tramontane {
namespace {

std::string Filter(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
                   bool* stopped = nullptr) {
  StopStrings strings(stops);
  std::string text;
  for (const std::string& piece : pieces) text += strings.Feed(piece);
  if (stopped != nullptr) *stopped = strings.stopped();
  return text + strings.Finish();
}

TEST(StopStringsTest, TextEndsBeforeTheStopString) {
  bool stopped = false;
  EXPECT_EQ(Filter({"END"}, {"a tale END more"}, &stopped), "a tale ");
  EXPECT_TRUE(stopped);
}

TEST(StopStringsTest, StopStringMaySpanPieces) {
  EXPECT_EQ(Filter({"END"}, {"a tale E", "N", "D", "more"}), "a tale ");
}

TEST(StopStringsTest, StartOfAStopStringIsHeldBack) {
  StopStrings strings({"END"});
  EXPECT_EQ(strings.Feed("tale E"), "tale ");
  EXPECT_EQ(strings.Feed("N"), "");
  EXPECT_EQ(strings.Feed("E"), "EN");
  EXPECT_EQ(strings.Finish(), "E");
}

TEST(StopStringsTest, PrefixOfItselfIsFoundAfterAFalseStart) {
  EXPECT_EQ(Filter({"aab"}, {"a", "a", "a", "b", "c"}), "a");
}

TEST(StopStringsTest, FirstToEndWinsAndThenTheLongest) {
  EXPECT_EQ(Filter({"abc", "b"}, {"xabc"}), "xa");
  EXPECT_EQ(Filter({"b", "ab"}, {"xab"}), "x");
}

// The result must not depend on how tokens cut the text.
TEST(StopStringsTest, EveryCutGivesTheSameText) {
  const std::string text = "the wolf ate the ate wolfte; and th thé end";
  const std::vector<std::string> stops = {"wolfte;", "the end", "ate wolft", "thé"};
  const std::string whole = Filter(stops, {text});
  for (size_t i = 0; i <= text.size(); ++i) {
    for (size_t j = i; j <= text.size(); ++j) {
      ASSERT_EQ(Filter(stops, {text.substr(0, i), text.substr(i, j - i), text.substr(j)}), whole);
    }
  }
}

TEST(StopStringsTest, WithoutStopStringsNothingIsHeld) {
  StopStrings strings({});
  EXPECT_EQ(strings.Feed("abc"), "abc");
  EXPECT_FALSE(strings.stopped());
}

}  // namespace
}  // namespace tramontane
