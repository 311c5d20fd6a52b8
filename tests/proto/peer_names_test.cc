#include "proto/serving/peer_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

PeerNames Names(const std::vector<std::string>& names) {
  absl::StatusOr<PeerNames> parsed = PeerNames::Parse(names, "allowed_peers");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : PeerNames();
}

TEST(PeerNamesTest, AllowEveryoneWhereNobodyIsNamed) {
  EXPECT_TRUE(PeerNames().Allow({}));
  EXPECT_TRUE(PeerNames().Allow({"anybody"}));
}

TEST(PeerNamesTest, DnsNamesAreComparedWithoutCase) {
  EXPECT_TRUE(Names({"Attention.Tramontane"}).Allow({"x", "attention.tramontane"}));
  EXPECT_FALSE(Names({"attention.tramontane"}).Allow({"attention.tramontane.evil"}));
  EXPECT_FALSE(Names({"attention.tramontane"}).Allow({"an-attention.tramontane"}));
  EXPECT_FALSE(Names({"attention.tramontane"}).Allow({}));
}

TEST(PeerNamesTest, AWildcardStandsForOneLabel) {
  const PeerNames names = Names({"*.attention.svc"});
  EXPECT_TRUE(names.Allow({"pod-0.attention.svc"}));
  EXPECT_FALSE(names.Allow({"a.pod-0.attention.svc"}));
  EXPECT_FALSE(names.Allow({"attention.svc"}));
  EXPECT_FALSE(names.Allow({".attention.svc"}));
  EXPECT_FALSE(names.Allow({"pod-0.attention.svc.evil"}));
}

TEST(PeerNamesTest, UrisAreComparedByteForByte) {
  const PeerNames names = Names({"spiffe://cluster/ns/a/sa/coordinator"});
  EXPECT_TRUE(names.Allow({"spiffe://cluster/ns/a/sa/coordinator"}));
  EXPECT_FALSE(names.Allow({"spiffe://cluster/ns/a/sa/Coordinator"}));
  EXPECT_FALSE(names.Allow({"spiffe://cluster/ns/a/sa/coordinator/x"}));
}

TEST(PeerNamesTest, WhatIsNoNameIsRefused) {
  for (const char* nonsense :
       {"", "a b", "*", "*.", ".a", "a.", "a..b", "a.*.b", "a\nb", "*.*.a"}) {
    const absl::Status refused = PeerNames::Parse({nonsense}, "allowed_peers").status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << nonsense;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("--allowed_peers")) << nonsense;
  }
}

TEST(PeerNamesTest, ARefusalSaysWhatWasFoundAndExpected) {
  const absl::Status refused = Names({"a.svc", "b.svc"}).Check({"c.svc", "d.svc"});
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("c.svc, d.svc"), HasSubstr("a.svc, b.svc")));
}

TEST(PeerNamesTest, ARefusalStaysShort) {
  const std::vector<std::string> many(1000, std::string(1000, 'x'));
  EXPECT_LT(Names({"a.svc"}).Check(many).message().size(), 4096u);
}

}  // namespace
}  // namespace tramontane
