#include "expert_worker/expert_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

ExpertSet ParseGood(const char* spec) {
  absl::StatusOr<ExpertSet> set = ExpertSet::Parse(spec, 2, 4);
  EXPECT_TRUE(set.ok()) << spec << ": " << set.status();
  return *set;
}

std::string Refusal(const char* spec) {
  const absl::Status status = ExpertSet::Parse(spec, 2, 4).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << spec;
  return std::string(status.message());
}

TEST(ExpertSetTest, ARangeHoldsForEveryLayer) {
  EXPECT_THAT(ParseGood("1-2").Members(),
              ElementsAre(Pair(0, 1), Pair(0, 2), Pair(1, 1), Pair(1, 2)));
}

TEST(ExpertSetTest, SingleExpertsMayBeListed) {
  EXPECT_THAT(ParseGood("0,3").Members(),
              ElementsAre(Pair(0, 0), Pair(0, 3), Pair(1, 0), Pair(1, 3)));
}

TEST(ExpertSetTest, LayersMayDiffer) {
  EXPECT_THAT(ParseGood("0:0-1,1:3").Members(), ElementsAre(Pair(0, 0), Pair(0, 1), Pair(1, 3)));
  EXPECT_EQ(ParseGood("0-1:2").size(), 2);
}

TEST(ExpertSetTest, AllIsEverything) { EXPECT_EQ(ParseGood("all").size(), 8); }

TEST(ExpertSetTest, ContainsNothingOutOfRange) {
  const ExpertSet all = ParseGood("all");
  EXPECT_TRUE(all.Contains(1, 3));
  EXPECT_FALSE(all.Contains(2, 0));
  EXPECT_FALSE(all.Contains(0, 4));
  EXPECT_FALSE(all.Contains(-1, 0));
  EXPECT_FALSE(all.Contains(0, -1));
}

TEST(ExpertSetTest, RefusesBadSyntaxNamingThePart) {
  for (const char* spec : {"", ",", "0,", "a", "0-", "-1", "0-1-2", "0:", ":0", "0:1:2", " 0", "+1",
                           "0x1", "99999999999"}) {
    EXPECT_THAT(Refusal(spec), HasSubstr("--experts: part \"")) << spec;
  }
}

TEST(ExpertSetTest, RefusesIdsOutOfRangeNamingTheLimit) {
  EXPECT_THAT(Refusal("2-4"), AllOf(HasSubstr("expert 4"), HasSubstr("experts 0 to 3")));
  EXPECT_THAT(Refusal("0-2:1"), AllOf(HasSubstr("layer 2"), HasSubstr("layers 0 to 1")));
}

TEST(ExpertSetTest, RefusesARangeThatEndsBeforeItBegins) {
  EXPECT_THAT(Refusal("3-1"), HasSubstr("ends before it begins"));
}

TEST(ExpertSetTest, RefusesAnExpertNamedTwice) {
  EXPECT_THAT(Refusal("0-2,1:1"), HasSubstr("expert 1 of layer 1 a second time"));
}

}  // namespace
}  // namespace tramontane
