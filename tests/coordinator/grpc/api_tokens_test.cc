#include "coordinator/grpc/api_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kToken[] = "0123456789abcdef";
// printf 0123456789abcdef | sha256sum
constexpr char kTokenSha256[] = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";

std::string Hex(const Sha256Digest& digest) {
  return absl::BytesToHexString(
      std::string(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

TEST(ApiTokensTest, TakeTokensAndTheirDigests) {
  const auto tokens =
      ParseApiTokens(absl::StrCat("# who\n\n alice\ttoken:", kToken, " requests_per_minute=60\r\n",
                                  "bob sha256:", std::string(64, 'A'), "  concurrent_requests=2"),
                     "file");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), 2u);
  EXPECT_EQ((*tokens)[0].name, "alice");
  EXPECT_EQ(Hex((*tokens)[0].digest), kTokenSha256);
  EXPECT_EQ((*tokens)[0].requests_per_minute, 60);
  EXPECT_EQ((*tokens)[0].concurrent_requests, 0);
  EXPECT_EQ(Hex((*tokens)[1].digest), std::string(64, 'a'));
  EXPECT_EQ((*tokens)[1].concurrent_requests, 2);
}

TEST(ApiTokensTest, NonsenseIsRefusedByLineWithoutTellingTheSecret) {
  const std::string secret = "secret-secret-secret";
  for (const std::string& line :
       {absl::StrCat("token:", secret), absl::StrCat("alice ", secret),
        absl::StrCat("alice sha256:", secret), absl::StrCat("al/ice token:", secret),
        absl::StrCat(std::string(65, 'a'), " token:", secret), std::string("alice token:secret"),
        absl::StrCat("alice token:", secret, "\x01"), absl::StrCat("alice token:", secret, "\xff"),
        absl::StrCat("alice token:", std::string(1025, 's')),
        absl::StrCat("alice token:", secret, " requests_per_minute=0"),
        absl::StrCat("alice token:", secret, " requests_per_minute=-1"),
        absl::StrCat("alice token:", secret, " requests_per_minute=1e9"),
        absl::StrCat("alice token:", secret, " requests_per_minute=99999999999999999999"),
        absl::StrCat("alice token:", secret, " requests_per_minute=1 requests_per_minute=2"),
        absl::StrCat("alice token:", secret, " rpm=1"),
        absl::StrCat("alice sha256:", std::string(63, 'a')),
        absl::StrCat("alice sha256:", std::string(63, 'a'), "g"),
        absl::StrCat("alice sha256:", std::string(63, 'a'), "\xff")}) {
    const absl::Status refused = ParseApiTokens(absl::StrCat("#\n", line), "file").status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("file:2: "), Not(HasSubstr("secret-"))))
        << line;
  }
}

TEST(ApiTokensTest, ANameOrATokenComesOnce) {
  const std::string other = "fedcba9876543210";
  EXPECT_FALSE(ParseApiTokens(absl::StrCat("a token:", kToken, "\na token:", other), "file").ok());
  EXPECT_FALSE(
      ParseApiTokens(absl::StrCat("a token:", kToken, "\nb sha256:", kTokenSha256), "file").ok());
}

TEST(ApiTokensTest, AFileWithoutTokensIsRefused) {
  EXPECT_FALSE(ParseApiTokens("", "file").ok());
  EXPECT_FALSE(ParseApiTokens("# nobody\n", "file").ok());
}

TEST(ApiTokensTest, RandomBytesAreRefusedOrTokens) {
  std::mt19937 random(1);
  const std::string alphabet = absl::StrCat("a \n#=:", std::string(1, '\0'), "token:sha256:\xff");
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 100, ' ');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    const auto tokens = ParseApiTokens(text, "file");
    EXPECT_TRUE(!tokens.ok() || !tokens->empty());
  }
}

TEST(ApiTokensTest, FindsTheTokenOfADigest) {
  const auto tokens =
      ParseApiTokens(absl::StrCat("a token:fedcba9876543210\nb sha256:", kTokenSha256), "file");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(FindApiToken(*tokens, Sha256(kToken)), 1);
  EXPECT_EQ(FindApiToken(*tokens, Sha256("0123456789abcdeg")), -1);
}

TEST(ApiTokensTest, ABearerHeaderCarriesAToken) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bEARER  abc"), "abc");
  for (const std::string& nothing :
       {std::string(), std::string("Bearer"), std::string("Bearer "), std::string("Basic abc"),
        std::string("abc"), absl::StrCat("Bearer ", std::string(5000, 'a'))}) {
    EXPECT_EQ(BearerToken(nothing), "") << nothing;
  }
}

}  // namespace
}  // namespace tramontane
