#include "proto/serving/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "proto/serving/tls_identity.h"
#include "tests/fakes/certificate_authority.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CertificatesTest : public testing::Test {
 protected:
  CertificatesTest() {
    std::filesystem::create_directories(directory_);
    files_ = ca_.Write(directory_, "own", {.names = "DNS:own.svc,IP:127.0.0.1,URI:spiffe://c/own"});
  }
  ~CertificatesTest() override { std::filesystem::remove_all(directory_); }

  void ExpectRefused(const std::string& file, const std::string& why) {
    const absl::Status refused = ReadCertificates(files_).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr(file), HasSubstr(why)));
  }

  const std::string directory_ =
      absl::StrCat(testing::TempDir(), "/certificates_",
                   testing::UnitTest::GetInstance()->current_test_info()->name());
  const CertificateAuthority ca_{"ca"};
  CertificateFiles files_;
};

TEST_F(CertificatesTest, TellsNamesAndValidity) {
  const absl::Time end = absl::FromUnixSeconds(2'000'000'000);
  files_ =
      ca_.Write(directory_, "own",
                {.names = "DNS:own.svc,IP:127.0.0.1,IP:::1,URI:spiffe://c/own", .not_after = end});
  const absl::StatusOr<Certificates> read = ReadCertificates(files_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->not_after, end);
  EXPECT_THAT(read->names, ElementsAre("own.svc", "127.0.0.1", "::1", "spiffe://c/own"));
}

TEST_F(CertificatesTest, AMissingFileIsNamed) {
  std::filesystem::remove(files_.key);
  ExpectRefused(files_.key, "No such file");
}

TEST_F(CertificatesTest, ADirectoryIsNoFile) {
  files_.ca = directory_;
  ExpectRefused(directory_, "CA");
}

TEST_F(CertificatesTest, WhatIsNotPemIsRefused) {
  ReplaceFile(files_.certificate, "nonsense");
  ExpectRefused(files_.certificate, "expected a PEM certificate");
}

TEST_F(CertificatesTest, AHalfWrittenFileIsRefused) {
  const std::string pem = ca_.Issue({.names = "DNS:own.svc"}).certificate_pem;
  ReplaceFile(files_.certificate, pem.substr(0, pem.size() / 2));
  ExpectRefused(files_.certificate, "certificate");
}

TEST_F(CertificatesTest, AHalfWrittenLastCaIsRefused) {
  ReplaceFile(files_.ca, ca_.pem() + ca_.pem().substr(0, ca_.pem().size() / 2));
  ExpectRefused(files_.ca, "damaged after certificate 1");
}

TEST_F(CertificatesTest, AKeyOfAnotherCertificateIsRefused) {
  ReplaceFile(files_.key, ca_.Issue({}).key_pem);
  ExpectRefused(files_.key, "is not the key of");
}

TEST_F(CertificatesTest, ACertificateWithoutKeyIsInvalid) {
  files_.key.clear();
  EXPECT_EQ(ReadCertificates(files_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificatesTest, AnExpiredCertificateIsAWarningOnly) {
  files_ = ca_.Write(directory_, "own",
                     {.names = "DNS:own.svc", .not_after = absl::Now() - absl::Minutes(1)});
  testing::internal::CaptureStderr();
  const auto identity = TlsIdentity::Load(files_, absl::Now());
  EXPECT_TRUE(identity.ok()) << identity.status();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("has expired"));
}

TEST_F(CertificatesTest, AnIdentityTakesWhatChanged) {
  const auto identity = TlsIdentity::Load(files_, absl::Now());
  ASSERT_TRUE(identity.ok()) << identity.status();
  const auto before = (*identity)->current();
  EXPECT_TRUE((*identity)->Refresh(absl::Now()).ok());
  EXPECT_EQ((*identity)->current(), before);
  ca_.Write(directory_, "own", {.names = "DNS:new.svc"});
  EXPECT_TRUE((*identity)->Refresh(absl::Now()).ok());
  EXPECT_THAT((*identity)->current()->names, ElementsAre("new.svc"));
}

TEST_F(CertificatesTest, AnIdentityKeepsWhatItHasOverWhatIsBad) {
  const auto identity = TlsIdentity::Load(files_, absl::Now());
  ASSERT_TRUE(identity.ok()) << identity.status();
  const auto before = (*identity)->current();
  testing::internal::CaptureStderr();
  // A new certificate whose key has not come yet.
  ReplaceFile(files_.certificate, ca_.Issue({.names = "DNS:new.svc"}).certificate_pem);
  EXPECT_FALSE((*identity)->Refresh(absl::Now()).ok());
  EXPECT_EQ((*identity)->current(), before);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE((*identity)->Refresh(absl::Now()).ok());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("not reloaded"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

}  // namespace
}  // namespace tramontane
