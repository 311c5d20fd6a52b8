// TLS and tokens on real processes.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/expert.grpc.pb.h"
#include "proto/serving/process.h"
#include "proto/serving/tls_identity.h"
#include "tests/fakes/certificate_authority.h"
#include "tests/integration/cluster.h"
#include "tests/integration/cluster_certificates.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kExpiryMetric[] = "tramontane_tls_certificate_expiry_timestamp_seconds";

v1::GenerateRequest StoryRequest(uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt("Once upon a time");
  request.set_max_tokens(max_tokens);
  request.set_temperature(0);
  request.set_ignore_eos(true);
  return request;
}

std::vector<uint32_t> Tokens(const v1::GenerateResponse& response) {
  return {response.token_ids().begin(), response.token_ids().end()};
}

class SecurityTest : public testing::Test {
 protected:
  SecurityTest() { certificates_.Issue(ca_, absl::Now() + absl::Hours(24)); }

  ClusterOptions MutualTls() {
    ClusterOptions options;
    options.model = DemoModel();
    options.worker_experts = {"0-3", "4-7"};
    options.num_attention_workers = 1;
    options.worker_flags = certificates_.Flags("expert");
    options.worker_flags.push_back("--allowed_peers=attention.tramontane");
    options.attention_flags = certificates_.Flags("attention");
    options.attention_flags.push_back("--allowed_peers=coordinator.tramontane");
    options.coordinator_flags = certificates_.Flags("coordinator");
    options.client_tls = certificates_.Client("");
    return options;
  }
  void Start(const ClusterOptions& options) {
    absl::StatusOr<std::unique_ptr<Cluster>> started = Cluster::Start(options);
    ASSERT_TRUE(started.ok()) << started.status();
    cluster_ = *std::move(started);
  }
  static grpc::Status Describe(const std::string& address, const TlsClient& tls) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::DescribeResponse response;
    return v1::ExpertWorker::NewStub(Connect(address, tls))->Describe(&context, {}, &response);
  }
  // Waits until every server shows a certificate that expires at `not_after`.
  void AwaitExpiry(absl::Time not_after) {
    std::vector<std::string> addresses = {cluster_->coordinator().metrics_address};
    for (const auto* servers : {&cluster_->workers(), &cluster_->attention_workers()}) {
      for (const ServerProcess& server : *servers) addresses.push_back(server.metrics_address);
    }
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    for (const std::string& address : addresses) {
      absl::StatusOr<double> expiry = 0.0;
      // The coordinator shows two, read from one file.
      do {
        expiry = ReadMetric(address, kExpiryMetric);
      } while (expiry.ok() && *expiry != absl::ToUnixSeconds(not_after) && absl::Now() < deadline);
      ASSERT_TRUE(expiry.ok()) << expiry.status();
      ASSERT_EQ(*expiry, absl::ToUnixSeconds(not_after)) << address;
    }
  }

  const CertificateAuthority ca_{"cluster"};
  ClusterCertificates certificates_;
  std::unique_ptr<Cluster> cluster_;
};

TEST_F(SecurityTest, TheWholeSystemGivesTheSameTokensOverMutualTls) {
  ClusterOptions plaintext;
  plaintext.model = DemoModel();
  Start(plaintext);
  const auto expected = GenerateAll(cluster_->stub(), StoryRequest(64));
  ASSERT_TRUE(expected.ok()) << expected.status();
  Start(MutualTls());
  const auto found = GenerateAll(cluster_->stub(), StoryRequest(64));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Tokens(*found), Tokens(*expected));
}

TEST_F(SecurityTest, WorkersServeOnlyThePeersThatTheyName) {
  Start(MutualTls());
  const std::string expert = cluster_->workers().front().address;
  const grpc::Status named = Describe(expert, certificates_.Client("attention"));
  EXPECT_TRUE(named.ok()) << named.error_message();
  const grpc::Status other = Describe(expert, certificates_.Client("client"));
  EXPECT_EQ(other.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(other.error_message(),
              AllOf(HasSubstr("client.tramontane"), HasSubstr("attention.tramontane")));
  // TLS itself refuses these, before there is a call to give a status to.
  for (const TlsClient& stranger : {certificates_.Client(""), TlsClient()}) {
    EXPECT_EQ(Describe(expert, stranger).error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(ReadMetric(cluster_->workers().front().metrics_address,
                       "tramontane_auth_failures_total", "peer_name")
                .value_or(-1),
            1);
}

TEST_F(SecurityTest, AClientOfAnotherCaIsRefused) {
  Start(MutualTls());
  const CertificateAuthority other("other");
  ClusterCertificates theirs;
  theirs.Issue(other, absl::Now() + absl::Hours(24));
  // It believes our CA, and shows a certificate of the other.
  ReplaceFile(absl::StrCat(theirs.directory(), "/attention.ca.pem"), ca_.pem());
  EXPECT_EQ(Describe(cluster_->workers().front().address, theirs.Client("attention")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(SecurityTest, CertificatesAreSwappedUnderRunningStreams) {
  Start(MutualTls());
  const auto expected = GenerateAll(cluster_->stub(), StoryRequest(400));
  ASSERT_TRUE(expected.ok()) << expected.status();
  const TlsClient old_client = certificates_.Client("attention");

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
  const auto reader = cluster_->stub().Generate(&context, StoryRequest(400));
  v1::GenerateResponse all, part;
  ASSERT_TRUE(reader->Read(&part));
  all.MergeFrom(part);
  const CertificateAuthority next("next");
  const absl::Time not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) + 48 * 3600);
  certificates_.Issue(next, not_after);
  AwaitExpiry(not_after);
  while (reader->Read(&part)) all.MergeFrom(part);
  const grpc::Status status = reader->Finish();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Tokens(all), Tokens(*expected));

  const std::string expert = cluster_->workers().front().address;
  const grpc::Status renewed = Describe(expert, certificates_.Client("attention"));
  EXPECT_TRUE(renewed.ok()) << renewed.error_message();
  EXPECT_EQ(Describe(expert, old_client).error_code(), grpc::StatusCode::UNAVAILABLE);
  // The connections that there were go on, and a new client speaks to the renewed API.
  const auto fresh =
      v1::Inference::NewStub(Connect(cluster_->coordinator().address, certificates_.Client("")));
  const auto again = GenerateAll(*fresh, StoryRequest(400));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Tokens(*again), Tokens(*expected));
}

TEST_F(SecurityTest, ATornRotationKeepsTheOldCertificate) {
  Start(MutualTls());
  ReplaceFile(absl::StrCat(certificates_.directory(), "/expert.pem"), "half a certif");
  const ChildProcess& worker = *cluster_->workers().front().process;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (worker.StderrSoFar().find("not reloaded") == std::string::npos && absl::Now() < deadline) {
    // Each look is a call, so that the wait is also the proof.
    const grpc::Status status =
        Describe(cluster_->workers().front().address, certificates_.Client("attention"));
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_THAT(worker.StderrSoFar(), HasSubstr("expert.pem"));
}

TEST_F(SecurityTest, BadFilesAreSaidAtTheStart) {
  const auto run = [this](std::vector<std::string> flags) {
    flags.push_back(absl::StrCat("--model=", DemoModel()));
    flags.push_back("--listen=127.0.0.1:0");
    return RunProgram("expert_worker", flags);
  };
  std::vector<std::string> flags = certificates_.Flags("expert");
  flags[1] = certificates_.Flags("client")[1];  // another one's key
  absl::StatusOr<ProcessOutput> output = run(flags);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUsage);
  EXPECT_THAT(output->stderr_text, HasSubstr("is not the key of"));

  flags[1] = "--tls_key=/nowhere/key";
  output = run(flags);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUsage);
  EXPECT_THAT(output->stderr_text, HasSubstr("/nowhere/key"));

  flags.pop_back();  // no CA
  output = run(flags);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUsage);
  EXPECT_THAT(output->stderr_text, HasSubstr("all of --tls_cert, --tls_key and --tls_ca"));
}

TEST_F(SecurityTest, TheCommandLineClientShowsItsTokenAndNoLogHoldsIt) {
  const std::string token = "a-token-that-no-log-may-hold";
  const std::string prompt = "A prompt that no log may hold";
  const std::string tokens_path = absl::StrCat(certificates_.directory(), "/tokens");
  const std::string token_path = absl::StrCat(certificates_.directory(), "/token");
  ReplaceFile(tokens_path, absl::StrCat("tester token:", token, "\n"));
  ReplaceFile(token_path, absl::StrCat(token, "\n"));
  ClusterOptions options;
  options.model = DemoModel();
  options.coordinator_flags = {absl::StrCat("--api_tokens_file=", tokens_path),
                               certificates_.Flags("coordinator")[0],
                               certificates_.Flags("coordinator")[1]};
  options.client_tls = certificates_.Client("");
  Start(options);
  const std::vector<std::string> flags = {
      absl::StrCat("--target=", cluster_->coordinator().address), certificates_.Flags("client")[2],
      absl::StrCat("--prompt=", prompt), "--max_tokens=4"};
  std::vector<std::string> with_token = flags;
  with_token.push_back(absl::StrCat("--api_token_file=", token_path));
  const absl::StatusOr<ProcessOutput> known = RunProgram("generate", with_token);
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ(known->exit_code, kExitOk) << known->stderr_text;
  const absl::StatusOr<ProcessOutput> unknown = RunProgram("generate", flags);
  ASSERT_TRUE(unknown.ok()) << unknown.status();
  EXPECT_EQ(unknown->exit_code, kExitFailure);
  EXPECT_THAT(unknown->stderr_text, HasSubstr("authorization: Bearer TOKEN"));
  EXPECT_THAT(cluster_->coordinator().process->StderrSoFar(),
              AllOf(Not(HasSubstr(token)), Not(HasSubstr(prompt))));
}

TEST_F(SecurityTest, ThePlacementIsShownWhereWorkersHaveAnotherName) {
  Start(MutualTls());
  std::vector<std::string> arguments = certificates_.Flags("coordinator");
  arguments.insert(arguments.begin(), "placement");
  arguments.push_back(absl::StrCat("--target=", cluster_->coordinator().address));
  arguments.push_back("--tls_server_name=coordinator.tramontane");
  const absl::StatusOr<ProcessOutput> other = RunProgram("tramontanectl", arguments);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->exit_code, kExitUnavailable);
  EXPECT_THAT(other->stderr_text, HasSubstr(cluster_->attention_workers().front().address));
  arguments.push_back("--worker_tls_name=attention.tramontane");
  const absl::StatusOr<ProcessOutput> shown = RunProgram("tramontanectl", arguments);
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->exit_code, kExitOk) << shown->stderr_text;
  EXPECT_THAT(shown->stdout_text, HasSubstr(cluster_->workers().front().address));
}

TEST_F(SecurityTest, TheCommandsOfThePageMakeCertificatesThatWork) {
  std::ifstream page(absl::StrCat(TRAMONTANE_SOURCE_DIR, "/docs/security.md"));
  const std::string text(std::istreambuf_iterator<char>(page), {});
  const size_t begin = text.find("```sh\nopenssl");
  ASSERT_NE(begin, std::string::npos);
  const TemporaryDirectory directory;
  const std::string script = absl::StrCat(directory.path(), "/make.sh");
  ReplaceFile(script, text.substr(begin + 6, text.find("```", begin + 6) - begin - 6));
  const std::string command =
      absl::StrCat("cd ", directory.path(), " && sh -e ", script, " > log 2>&1");
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const auto flags = [&directory](const std::string& name) -> std::vector<std::string> {
    const std::string stem = absl::StrCat(directory.path(), "/", name);
    return {absl::StrCat("--tls_cert=", stem, ".pem"), absl::StrCat("--tls_key=", stem, ".key"),
            absl::StrCat("--tls_ca=", directory.path(), "/ca.pem")};
  };
  ClusterOptions options;
  options.model = DemoModel();
  options.worker_experts = {"0-7"};
  options.worker_flags = flags("expert");
  options.worker_flags.push_back("--allowed_peers=coordinator.tramontane");
  options.coordinator_flags = flags("coordinator");
  CertificateFiles client;
  client.ca = absl::StrCat(directory.path(), "/ca.pem");
  options.client_tls.identity = *TlsIdentity::Load(client, absl::Now());
  Start(options);
  const auto answer = GenerateAll(cluster_->stub(), StoryRequest(4));
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(SecurityTest, ATokenIsNotSentToAnotherMachineInPlaintext) {
  const std::string token_path = absl::StrCat(certificates_.directory(), "/token");
  ReplaceFile(token_path, "a-token-of-a-test");
  // 192.0.2.1 is of the network for documentation, RFC 5737: nothing is there.
  const absl::StatusOr<ProcessOutput> output = RunProgram(
      "generate",
      {"--target=192.0.2.1:1", "--prompt=x", absl::StrCat("--api_token_file=", token_path)});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUsage);
  EXPECT_THAT(output->stderr_text, HasSubstr("in plaintext"));
}

}  // namespace
}  // namespace tramontane
