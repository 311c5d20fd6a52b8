// When a soak is said to have failed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/chaos/soak.h"

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kKills = 90;

// A worker that holds `second` from the beginning and `last` in the last third.
SoakReport Report(const ProcessUse& second, const ProcessUse& last, int64_t kills = kKills) {
  SoakReport report;
  report.num_kills = kills;
  Survivor worker{"expert-0", {}};
  for (int64_t i = 0; i < kills; ++i) worker.uses.push_back(i * 3 < kills * 2 ? second : last);
  report.survivors.push_back(worker);
  SortReport sort;
  sort.sort = "greedy";
  sort.num_requests = 7;
  report.load.push_back(sort);
  return report;
}

constexpr ProcessUse kUse = {100000, 40, 30};

TEST(SoakFaultsTest, NoneWhereNothingGrowsOrFails) {
  EXPECT_THAT(SoakFaults(Report(kUse, kUse)), IsEmpty());
  EXPECT_THAT(SoakFaults(Report(kUse, {105000, 44, 34})), IsEmpty());
}

TEST(SoakFaultsTest, EachGrowthIsOne) {
  for (const ProcessUse& grown : {ProcessUse{105001, 40, 30}, {100000, 45, 30}, {100000, 40, 35}}) {
    EXPECT_THAT(SoakFaults(Report(kUse, grown)), ElementsAre(HasSubstr("expert-0 grows")));
  }
}

TEST(SoakFaultsTest, ASmallProcessMayGrowByAFewPages) {
  EXPECT_THAT(SoakFaults(Report({20000, 40, 30}, {22048, 40, 30})), IsEmpty());
  EXPECT_THAT(SoakFaults(Report({20000, 40, 30}, {22049, 40, 30})),
              ElementsAre(HasSubstr("expert-0 grows")));
}

TEST(SoakFaultsTest, OneSampleOfGrowthIsEnough) {
  SoakReport report = Report(kUse, kUse);
  report.survivors[0].uses.back().threads = 35;
  EXPECT_THAT(SoakFaults(report), ElementsAre(HasSubstr("30 threads in the second third")));
}

TEST(SoakFaultsTest, AMemoryPeakThatPassesIsNone) {
  SoakReport report = Report(kUse, kUse);
  report.survivors[0].uses[80].resident_kib = 900000;
  EXPECT_THAT(SoakFaults(report), IsEmpty());
}

TEST(SoakFaultsTest, GrowthAtTheBeginningIsNone) {
  SoakReport report = Report({300000, 90, 90}, {300000, 90, 90});
  for (size_t i = 0; i < kKills / 3; ++i) report.survivors[0].uses[i] = kUse;
  EXPECT_THAT(SoakFaults(report), IsEmpty());
}

TEST(SoakFaultsTest, AShortSoakJudgesRequestsOnly) {
  SoakReport report = Report(kUse, {900000, 900, 900}, 29);
  EXPECT_THAT(SoakFaults(report), IsEmpty());
  report.load[0].num_different = 1;
  EXPECT_THAT(SoakFaults(report), ElementsAre(HasSubstr("greedy: 0 failed, 1 different")));
}

TEST(SoakFaultsTest, TheFirstFailureIsTold) {
  SoakReport report = Report(kUse, kUse);
  report.load[0].num_failed = 2;
  report.load[0].first_failure = "UNAVAILABLE: gone";
  EXPECT_THAT(SoakFaults(report), ElementsAre(HasSubstr("2 failed, 0 different; first failure: "
                                                        "UNAVAILABLE: gone")));
}

TEST(SoakTablesTest, TellsOfEachThirdTheLeastMemoryAndTheMostOfTheOthers) {
  SoakReport report = Report({2048, 4, 5}, {3072, 6, 7});
  report.survivors[0].uses[40] = {10240, 8, 9};
  EXPECT_THAT(SoakTables(report), HasSubstr("| expert-0 | 2 / 2 / 3 | 4 / 8 / 6 | 5 / 9 / 7 |"));
  EXPECT_THAT(SoakTables(report), HasSubstr("| greedy | 7 | 0 | 0 | 0 | 0 | 0.00 s |"));
}

}  // namespace
}  // namespace tramontane
