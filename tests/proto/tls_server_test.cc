// TLS between a listener and channels of this process, over loopback.
#include "proto/serving/tls_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/expert.grpc.pb.h"
#include "proto/health.grpc.pb.h"
#include "proto/serving/listener.h"
#include "proto/serving/tls_client.h"
#include "tests/fakes/certificate_authority.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Answers Describe, and sends back whatever Execute is given.
class EchoService final : public v1::ExpertWorker::Service {
 public:
  grpc::Status Describe(grpc::ServerContext* /*context*/, const v1::DescribeRequest* /*request*/,
                        v1::DescribeResponse* /*response*/) override {
    return grpc::Status::OK;
  }
  grpc::Status Execute(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<v1::ExpertResult, v1::ExpertBatch>* stream) override {
    v1::ExpertBatch batch;
    while (stream->Read(&batch)) {
      v1::ExpertResult result;
      result.set_batch_id(batch.batch_id());
      stream->Write(result);
    }
    return grpc::Status::OK;
  }
};

class TlsServerTest : public testing::Test {
 protected:
  TlsServerTest() {
    std::filesystem::create_directories(directory_);
    server_files_ = ca_.Write(directory_, "server", kServer);
  }
  ~TlsServerTest() override { std::filesystem::remove_all(directory_); }

  void Start(bool require_client_certificate, const PeerNames& allowed = {},
             const std::string& address = "127.0.0.1:0") {
    const auto identity = TlsIdentity::Load(server_files_, absl::Now());
    ASSERT_TRUE(identity.ok()) << identity.status();
    identity_ = *identity;
    TlsServerOptions options;
    options.identity = identity_;
    options.require_client_certificate = require_client_certificate;
    options.allowed_peers = allowed;
    options.on_refused = [this](std::string_view) { ++num_refused_; };
    ListenerOptions listener_options;
    listener_options.address = address;
    listener_options.credentials = CreateTlsServerCredentials(options);
    auto listener = Listener::Start(listener_options, &service_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    listener_->SetServing(true);
  }

  // What `client` connects with; a connection of its own.
  std::shared_ptr<grpc::Channel> Connect(const CertificateFiles& client,
                                         const std::string& server_name = "") {
    TlsClient tls;
    const auto identity = TlsIdentity::Load(client, absl::Now());
    EXPECT_TRUE(identity.ok()) << identity.status();
    tls.identity = *identity;
    tls.server_name = server_name;
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return tls.NewChannel(listener_->address(), std::move(arguments));
  }
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }
  static grpc::Status Describe(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::DescribeResponse response;
    return v1::ExpertWorker::NewStub(channel)->Describe(&context, {}, &response);
  }
  // A client that shows no certificate.
  static CertificateFiles Believing(const std::string& ca) {
    CertificateFiles files;
    files.ca = ca;
    return files;
  }
  CertificateFiles Client(const CertificateAuthority& issuer, const std::string& names) {
    CertificateFiles files = issuer.Write(directory_, "client", {.names = names});
    ReplaceFile(files.ca, ca_.pem());  // whom the client believes is another matter
    return files;
  }
  static PeerNames Allowed(const std::string& name) {
    return *PeerNames::Parse({name}, "allowed_peers");
  }

  const CertificateRequest kServer = {.names = "DNS:server.svc,IP:127.0.0.1"};
  const std::string directory_ =
      absl::StrCat(testing::TempDir(), "/tls_server_",
                   testing::UnitTest::GetInstance()->current_test_info()->name());
  const CertificateAuthority ca_{"ca"};
  CertificateFiles server_files_;
  std::shared_ptr<TlsIdentity> identity_;
  std::atomic<int> num_refused_{0};
  EchoService service_;
  std::unique_ptr<Listener> listener_;
};

TEST_F(TlsServerTest, ServesAClientThatKnowsTheCa) {
  Start(/*require_client_certificate=*/false);
  const grpc::Status status = Describe(Connect(Believing(server_files_.ca)));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, AClientThatKnowsAnotherCaDoesNotConnect) {
  Start(/*require_client_certificate=*/false);
  const CertificateAuthority other("other");
  const std::string path = absl::StrCat(directory_, "/other.pem");
  ReplaceFile(path, other.pem());
  EXPECT_EQ(Describe(Connect(Believing(path))).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, OverAUnixSocketAServerIsLocalhost) {
  const std::string address = absl::StrCat("unix:", directory_, "/s");
  Start(/*require_client_certificate=*/false, {}, address);
  EXPECT_EQ(Describe(Connect(Believing(server_files_.ca))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Describe(Connect(Believing(server_files_.ca), "server.svc")).ok());
  listener_.reset();
  server_files_ = ca_.Write(directory_, "server", {.names = "DNS:localhost"});
  Start(/*require_client_certificate=*/false, {}, address);
  const grpc::Status status = Describe(Connect(Believing(server_files_.ca)));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, AClientThatExpectsAnotherNameDoesNotConnect) {
  Start(/*require_client_certificate=*/false);
  EXPECT_EQ(Describe(Connect(Believing(server_files_.ca), "other.svc")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Describe(Connect(Believing(server_files_.ca), "server.svc")).ok());
}

TEST_F(TlsServerTest, AnExpiredCertificateIsRefusedByClients) {
  CertificateRequest expired = kServer;
  expired.not_after = absl::Now() - absl::Minutes(1);
  ca_.Write(directory_, "server", expired);
  Start(/*require_client_certificate=*/false);
  EXPECT_EQ(Describe(Connect(Believing(server_files_.ca))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, AClientWithoutCertificateDoesNotConnectWhereOneIsRequired) {
  Start(/*require_client_certificate=*/true);
  EXPECT_EQ(Describe(Connect(Believing(server_files_.ca))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, AClientOfAnotherCaDoesNotConnectWhereOneIsRequired) {
  Start(/*require_client_certificate=*/true);
  const CertificateAuthority other("other");
  EXPECT_EQ(Describe(Connect(Client(other, "DNS:client.svc"))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, AnExpiredClientDoesNotConnectWhereOneIsRequired) {
  Start(/*require_client_certificate=*/true);
  const CertificateFiles files =
      ca_.Write(directory_, "client",
                {.names = "DNS:client.svc", .not_after = absl::Now() - absl::Minutes(1)});
  EXPECT_EQ(Describe(Connect(files)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsServerTest, ServesEveryClientOfTheCaWhereNobodyIsNamed) {
  Start(/*require_client_certificate=*/true);
  const grpc::Status status = Describe(Connect(Client(ca_, "DNS:anybody.svc")));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, ServesClientsThatAreNamed) {
  Start(/*require_client_certificate=*/true, Allowed("*.attention.svc"));
  const grpc::Status status = Describe(Connect(Client(ca_, "DNS:x,DNS:pod-1.attention.svc")));
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(num_refused_, 0);
}

TEST_F(TlsServerTest, ServesClientsThatAreNamedByUri) {
  Start(/*require_client_certificate=*/true, Allowed("spiffe://c/attention"));
  const grpc::Status status = Describe(Connect(Client(ca_, "URI:spiffe://c/attention")));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, RefusesClientsOfOtherNamesBeforeTheHandler) {
  Start(/*require_client_certificate=*/true, Allowed("*.attention.svc"));
  const grpc::Status status = Describe(Connect(Client(ca_, "DNS:pod-1.intruder.svc")));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(),
              AllOf(HasSubstr("pod-1.intruder.svc"), HasSubstr("*.attention.svc")));
  EXPECT_EQ(num_refused_, 1);
}

TEST_F(TlsServerTest, AnswersHealthToClientsOfOtherNames) {
  Start(/*require_client_certificate=*/true, Allowed("*.attention.svc"));
  grpc::ClientContext context;
  SetDeadline(context);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(Connect(Client(ca_, "DNS:probe.svc")))
          ->Check(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TlsServerTest, NewConnectionsGetNewCertificatesAndOldStreamsLive) {
  Start(/*require_client_certificate=*/true);
  const auto before = Connect(Client(ca_, "DNS:client.svc"));
  grpc::ClientContext context;
  SetDeadline(context);
  const auto stream = v1::ExpertWorker::NewStub(before)->Execute(&context);
  v1::ExpertBatch batch;
  v1::ExpertResult result;
  batch.set_batch_id(1);
  ASSERT_TRUE(stream->Write(batch) && stream->Read(&result));

  const CertificateAuthority next("next");
  next.Write(directory_, "server", kServer);
  ASSERT_TRUE(identity_->Refresh(absl::Now()).ok());
  CertificateFiles new_client = next.Write(directory_, "new_client", {.names = "DNS:client.svc"});
  const grpc::Status renewed = Describe(Connect(new_client));
  EXPECT_TRUE(renewed.ok()) << renewed.error_message();
  // The old CA is believed by neither side any more.
  EXPECT_EQ(Describe(Connect(Client(ca_, "DNS:client.svc"))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  CertificateFiles mixed = Client(ca_, "DNS:client.svc");
  mixed.ca = new_client.ca;
  EXPECT_EQ(Describe(Connect(mixed)).error_code(), grpc::StatusCode::UNAVAILABLE);

  batch.set_batch_id(2);
  EXPECT_TRUE(stream->Write(batch) && stream->Read(&result));
  EXPECT_EQ(result.batch_id(), 2u);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(TlsServerTest, NeedsNoLeaveBeyondLoopback) {
  const auto identity = TlsIdentity::Load(server_files_, absl::Now());
  ASSERT_TRUE(identity.ok()) << identity.status();
  ListenerOptions options;
  options.address = "0.0.0.0:0";
  TlsServerOptions tls;
  tls.identity = *identity;
  options.credentials = CreateTlsServerCredentials(tls);
  EXPECT_TRUE(Listener::Start(options, &service_).ok());
}

}  // namespace
}  // namespace tramontane
