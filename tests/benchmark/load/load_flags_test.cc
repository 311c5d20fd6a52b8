#include "proto/serving/abseil_flag_types.h"

#include "tests/benchmark/load/load_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(int, concurrency);
ABSL_DECLARE_FLAG(int64_t, num_requests);
ABSL_DECLARE_FLAG(double, cancel_fraction);
ABSL_DECLARE_FLAG(std::string, prompt_tokens);
ABSL_DECLARE_FLAG(uint64_t, seed);

namespace tramontane {
namespace {

using testing::HasSubstr;

class LoadFlagsTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::SetFlag(&FLAGS_concurrency, 4);
    absl::SetFlag(&FLAGS_num_requests, 10);
  }

  static std::string Refusal() {
    const absl::StatusOr<LoadOptions> options = LoadOptionsFromFlags();
    EXPECT_TRUE(absl::IsInvalidArgument(options.status())) << options.status();
    return std::string(options.status().message());
  }

  const absl::FlagSaver saver_;
};

TEST_F(LoadFlagsTest, ALoadAndAnEndAreEnough) {
  const absl::StatusOr<LoadOptions> options = LoadOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->points.size(), 1);
  EXPECT_EQ(options->points[0].concurrency, 4);
  EXPECT_EQ(options->num_requests, 10);
  EXPECT_NE(options->seed, 0);
}

TEST_F(LoadFlagsTest, ASeedIsTaken) {
  absl::SetFlag(&FLAGS_seed, 12345678901234567890u);
  EXPECT_EQ(LoadOptionsFromFlags()->seed, 12345678901234567890u);
}

TEST_F(LoadFlagsTest, ARunWithoutEndIsRefused) {
  absl::SetFlag(&FLAGS_num_requests, 0);
  EXPECT_THAT(Refusal(), HasSubstr("--num_requests=N, --duration_s=SECONDS or both"));
}

TEST_F(LoadFlagsTest, RefusalsNameTheFlagTheValueAndTheRange) {
  absl::SetFlag(&FLAGS_cancel_fraction, 1.5);
  EXPECT_EQ(Refusal(), "--cancel_fraction=1.5: expected 0 to 1");
  absl::SetFlag(&FLAGS_concurrency, -1);
  EXPECT_THAT(Refusal(), HasSubstr("--concurrency=-1: expected 1 to 100000"));
  absl::SetFlag(&FLAGS_prompt_tokens, "many");
  EXPECT_THAT(Refusal(), HasSubstr("--prompt_tokens: \"many\""));
}

TEST(ParsePointsTest, ExactlyOneLoadFlagIsNeeded) {
  EXPECT_TRUE(absl::IsInvalidArgument(ParsePoints(0, 0, {}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParsePoints(2, 1.5, {}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ParsePoints(0, 0, {"1"}, {"2"}).status()));
  EXPECT_TRUE(ParsePoints(0, 1.5, {}, {}).ok());
}

TEST(ParsePointsTest, SweepsKeepTheirOrder) {
  const absl::StatusOr<std::vector<LoadPoint>> closed = ParsePoints(0, 0, {"8", "1"}, {});
  ASSERT_TRUE(closed.ok()) << closed.status();
  EXPECT_EQ((*closed)[0].concurrency, 8);
  EXPECT_EQ((*closed)[1].concurrency, 1);
  const absl::StatusOr<std::vector<LoadPoint>> open = ParsePoints(0, 0, {}, {"0.5", "2"});
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ((*open)[0].request_rate, 0.5);
  EXPECT_EQ((*open)[1].request_rate, 2);
}

TEST(ParsePointsTest, RefusesWhatIsNoLoad) {
  for (const std::string text : {"", "x", "0", "-1", "1.5"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParsePoints(0, 0, {text}, {}).status())) << text;
  }
  for (const std::string text : {"", "x", "0", "-1", "nan"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParsePoints(0, 0, {}, {text}).status())) << text;
  }
}

}  // namespace
}  // namespace tramontane
