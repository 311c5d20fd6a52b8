#include "coordinator/grpc/api_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kAlice[] = "alice-alice-alice";
constexpr char kBob[] = "bob-bob-bob-bob-bob";

class ApiAccessTest : public testing::Test {
 protected:
  ~ApiAccessTest() override { std::filesystem::remove(path_); }

  void Write(const std::string& text) {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  void Load(const std::string& text) {
    Write(text);
    const auto access = ApiAccess::Load(path_);
    ASSERT_TRUE(access.ok()) << access.status();
    access_ = *access;
  }
  static std::string Line(const char* name, const char* token, const char* limits = "") {
    return absl::StrCat(name, " token:", token, " ", limits, "\n");
  }
  // OK, or why the call was refused.
  absl::Status Admit(const char* token, ApiPermit* permit = nullptr) {
    refusal_ = ApiRefusal();
    const bool admitted = access_->Admit(absl::StrCat("Bearer ", token), now_, permit, &refusal_);
    EXPECT_EQ(admitted, refusal_.status.ok());
    return refusal_.status;
  }

  const std::string path_ =
      absl::StrCat(testing::TempDir(), "/api_access_",
                   testing::UnitTest::GetInstance()->current_test_info()->name());
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::shared_ptr<ApiAccess> access_;
  ApiRefusal refusal_;
};

TEST_F(ApiAccessTest, NoTokenAndUnknownTokensAreUnauthenticated) {
  Load(Line("alice", kAlice));
  ApiRefusal refusal;
  EXPECT_FALSE(access_->Admit("", now_, nullptr, &refusal));
  EXPECT_EQ(refusal.status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(refusal.reason, AuthFailure::kNoToken);
  EXPECT_EQ(Admit(kBob).code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(refusal_.reason, AuthFailure::kUnknownToken);
  EXPECT_THAT(std::string(refusal_.status.message()), Not(HasSubstr(kBob)));
  EXPECT_TRUE(Admit(kAlice).ok());
}

TEST_F(ApiAccessTest, ASixthOfAMinutesRequestsMayComeAtOnceThenTheRateHolds) {
  Load(Line("alice", kAlice, "requests_per_minute=60"));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Admit(kAlice).ok()) << i;
  EXPECT_EQ(Admit(kAlice).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refusal_.reason, AuthFailure::kRequestRate);
  EXPECT_EQ(refusal_.retry_after, absl::Seconds(1));
  now_ += absl::Milliseconds(999);
  EXPECT_FALSE(Admit(kAlice).ok());
  now_ += absl::Milliseconds(2);
  EXPECT_TRUE(Admit(kAlice).ok());
  EXPECT_FALSE(Admit(kAlice).ok());
  now_ += absl::Hours(1);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Admit(kAlice).ok()) << i;
  EXPECT_FALSE(Admit(kAlice).ok());
}

TEST_F(ApiAccessTest, ASlowRateLetsOneCallInAtATime) {
  Load(Line("alice", kAlice, "requests_per_minute=1"));
  EXPECT_TRUE(Admit(kAlice).ok());
  EXPECT_FALSE(Admit(kAlice).ok());
  EXPECT_EQ(refusal_.retry_after, absl::Minutes(1));
}

TEST_F(ApiAccessTest, AClockThatGoesBackGivesNothingAway) {
  Load(Line("alice", kAlice, "requests_per_minute=6"));
  EXPECT_TRUE(Admit(kAlice).ok());
  now_ -= absl::Hours(1);
  EXPECT_FALSE(Admit(kAlice).ok());
  now_ += absl::Hours(1);
  EXPECT_FALSE(Admit(kAlice).ok());
}

TEST_F(ApiAccessTest, LimitsAreOfATokenAlone) {
  Load(absl::StrCat(Line("alice", kAlice, "requests_per_minute=1"), Line("bob", kBob)));
  EXPECT_TRUE(Admit(kAlice).ok());
  EXPECT_FALSE(Admit(kAlice).ok());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Admit(kBob).ok());
}

TEST_F(ApiAccessTest, APlaceIsFreeAgainWhenItsCallEnds) {
  Load(Line("alice", kAlice, "concurrent_requests=2"));
  ApiPermit first;
  ApiPermit second;
  ApiPermit third;
  EXPECT_TRUE(Admit(kAlice, &first).ok());
  EXPECT_TRUE(Admit(kAlice, &second).ok());
  EXPECT_EQ(Admit(kAlice, &third).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refusal_.reason, AuthFailure::kConcurrentRequests);
  EXPECT_GT(refusal_.retry_after, absl::ZeroDuration());
  EXPECT_TRUE(Admit(kAlice).ok()) << "a call that ends at once needs no place";
  second.Release();
  EXPECT_TRUE(Admit(kAlice, &third).ok());
}

TEST_F(ApiAccessTest, APermitMayOutliveTheAccess) {
  Load(Line("alice", kAlice));
  ApiPermit permit;
  EXPECT_TRUE(Admit(kAlice, &permit).ok());
  access_.reset();
  permit.Release();
}

TEST_F(ApiAccessTest, TakesANewFileAndKeepsWhatWasUsed) {
  Load(Line("alice", kAlice, "requests_per_minute=1"));
  EXPECT_TRUE(Admit(kAlice).ok());
  Write(absl::StrCat(Line("alice", kAlice, "requests_per_minute=1"), Line("bob", kBob)));
  EXPECT_TRUE(access_->Refresh().ok());
  EXPECT_FALSE(Admit(kAlice).ok());
  EXPECT_TRUE(Admit(kBob).ok());
  Write(Line("bob", kBob));
  EXPECT_TRUE(access_->Refresh().ok());
  EXPECT_EQ(Admit(kAlice).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ApiAccessTest, KeepsWhatItHasOverABadFileAndSaysSoOnceWithoutSecrets) {
  Load(Line("alice", kAlice));
  Write(absl::StrCat(Line("alice", kAlice), "bob tokens:", kBob));
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(access_->Refresh().ok());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, Not(HasSubstr(kBob)));
  EXPECT_TRUE(Admit(kAlice).ok());
  std::filesystem::remove(path_);
  EXPECT_FALSE(access_->Refresh().ok());
  EXPECT_TRUE(Admit(kAlice).ok());
}

}  // namespace
}  // namespace tramontane
