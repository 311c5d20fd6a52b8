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

TEST(FlightTableTest, LandsWhenAnsweredAndReleasedInEitherOrder) {
  FlightTable table;
  const uint64_t first = *table.Add(SomeFlight(), true);
  const uint64_t second = *table.Add(SomeFlight(), true);
  EXPECT_FALSE(table.Settle(first, ExpertBatchResult()).has_value());
  EXPECT_TRUE(table.Release(first).has_value());
  EXPECT_FALSE(table.Release(second).has_value());
  EXPECT_TRUE(table.Settle(second, ExpertBatchResult()).has_value());
  EXPECT_TRUE(table.empty());
}

TEST(FlightTableTest, TheFirstOutcomeHolds) {
  FlightTable table;
  const uint64_t id = *table.Add(SomeFlight(kNow), true);
  EXPECT_THAT(table.Expire(kNow, kLate).held, ElementsAre(id));
  EXPECT_FALSE(table.Find(id).has_value());
  EXPECT_FALSE(table.Settle(id, ExpertBatchResult()).has_value());
  const std::optional<LandedFlight> landed = table.Release(id);
  ASSERT_TRUE(landed.has_value());
  EXPECT_EQ(landed->outcome.status(), kLate);
}

TEST(FlightTableTest, ExpiryTellsTheNextDeadline) {
  FlightTable table;
  ASSERT_TRUE(table.Add(SomeFlight(kNow), false).ok());
  ASSERT_TRUE(table.Add(SomeFlight(kNow + absl::Seconds(2)), false).ok());
  ASSERT_TRUE(table.Add(SomeFlight(kNow + absl::Seconds(1)), false).ok());
  const FlightTable::Expiry expiry = table.Expire(kNow, kLate);
  EXPECT_EQ(expiry.landed.size(), 1u);
  EXPECT_EQ(expiry.next, kNow + absl::Seconds(1));
  EXPECT_EQ(expiry.held_since, absl::InfiniteFuture());
}

TEST(FlightTableTest, AfterFailAllNothingIsAdded) {
  FlightTable table;
  ASSERT_TRUE(table.Add(SomeFlight(), false).ok());
  const absl::Status gone = absl::UnavailableError("gone");
  const std::vector<LandedFlight> landed = table.FailAll(gone);
  ASSERT_EQ(landed.size(), 1u);
  EXPECT_EQ(landed[0].outcome.status(), gone);
  EXPECT_EQ(table.Add(SomeFlight(), false).status(), gone);
}

TEST(FlightTableTest, UnknownIdsAreIgnored) {
  FlightTable table;
  EXPECT_FALSE(table.Settle(5, ExpertBatchResult()).has_value());
  EXPECT_FALSE(table.Release(5).has_value());
  EXPECT_FALSE(table.Find(5).has_value());
}

TEST(FlightTableTest, TheTableIsBounded) {
  FlightTable table;
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) {
    status = table.Add(SomeFlight(), false).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace tramontane
