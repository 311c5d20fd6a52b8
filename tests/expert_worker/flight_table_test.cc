#include "attention_worker/grpc/flight_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace tramontane {
namespace {

using ::testing::ElementsAre;

Flight SomeFlight(absl::Time deadline = absl::InfiniteFuture()) {
  Flight flight;
  flight.done = [](const absl::StatusOr<ExpertBatchResult>&) {};
  flight.deadline = deadline;
  return flight;
}

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);
const absl::Status kLate = absl::DeadlineExceededError("late");

TEST(FlightTableTest, TheFirstOutcomeHolds) {
  FlightTable table;
  const uint64_t id = *table.Add(SomeFlight(kNow));
  const FlightTable::Expiry expiry = table.Expire(kNow, kLate);
  EXPECT_THAT(expiry.ids, ElementsAre(id));
  ASSERT_EQ(expiry.landed.size(), 1u);
  EXPECT_EQ(expiry.landed[0].outcome.status(), kLate);
  EXPECT_FALSE(table.Find(id).has_value());
  EXPECT_FALSE(table.Land(id, ExpertBatchResult()).has_value());
  EXPECT_TRUE(table.empty());
}

TEST(FlightTableTest, AnAnswerLandsItsFlightOnly) {
  FlightTable table;
  const uint64_t first = *table.Add(SomeFlight());
  const uint64_t second = *table.Add(SomeFlight());
  EXPECT_TRUE(table.Land(second, ExpertBatchResult()).has_value());
  EXPECT_TRUE(table.Find(first).has_value());
  EXPECT_FALSE(table.empty());
}

TEST(FlightTableTest, ExpiryTellsTheNextDeadline) {
  FlightTable table;
  ASSERT_TRUE(table.Add(SomeFlight(kNow)).ok());
  ASSERT_TRUE(table.Add(SomeFlight(kNow + absl::Seconds(2))).ok());
  ASSERT_TRUE(table.Add(SomeFlight(kNow + absl::Seconds(1))).ok());
  const FlightTable::Expiry expiry = table.Expire(kNow, kLate);
  EXPECT_EQ(expiry.landed.size(), 1u);
  EXPECT_EQ(expiry.next, kNow + absl::Seconds(1));
}

TEST(FlightTableTest, AfterFailAllNothingIsAdded) {
  FlightTable table;
  ASSERT_TRUE(table.Add(SomeFlight()).ok());
  const absl::Status gone = absl::UnavailableError("gone");
  const std::vector<LandedFlight> landed = table.FailAll(gone);
  ASSERT_EQ(landed.size(), 1u);
  EXPECT_EQ(landed[0].outcome.status(), gone);
  EXPECT_EQ(table.Add(SomeFlight()).status(), gone);
}

TEST(FlightTableTest, UnknownIdsAreIgnored) {
  FlightTable table;
  EXPECT_FALSE(table.Land(5, ExpertBatchResult()).has_value());
  EXPECT_FALSE(table.Find(5).has_value());
}

TEST(FlightTableTest, TheTableIsBounded) {
  FlightTable table;
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) {
    status = table.Add(SomeFlight()).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace tramontane
