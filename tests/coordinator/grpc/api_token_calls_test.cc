// Tokens as a client of the API meets them.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/grpc/api_access.h"
#include "proto/health.grpc.pb.h"
#include "proto/inference.grpc.pb.h"
#include "tests/coordinator/grpc/demo_server.h"

namespace tramontane {
namespace {

constexpr char kToken[] = "one-token-of-a-test";
constexpr char kLimited[] = "limited-token-of-a-test";

class ApiTokenCallsTest : public testing::Test {
 protected:
  ApiTokenCallsTest() {
    std::ofstream(path_) << "one token:" << kToken << "\nlimited token:" << kLimited
                         << " concurrent_requests=1\nslow token:slow-" << kLimited
                         << " requests_per_minute=1\n";
    access_ = *ApiAccess::Load(path_);
    server_ = std::make_unique<DemoServer>(SchedulerOptions(), access_.get());
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    stub_ = v1::Inference::NewStub(channel_);
  }
  ~ApiTokenCallsTest() override { std::filesystem::remove(path_); }

  static void Prepare(grpc::ClientContext& context, const std::string& token) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
  static v1::GenerateRequest Request(uint32_t max_tokens) {
    v1::GenerateRequest request;
    request.add_prompt_token_ids(1);
    request.set_max_tokens(max_tokens);
    request.set_ignore_eos(true);
    return request;
  }
  grpc::Status Generate(const std::string& token, grpc::ClientContext& context) {
    Prepare(context, token);
    const auto reader = stub_->Generate(&context, Request(1));
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
    }
    return reader->Finish();
  }
  grpc::Status GetModel(const std::string& token) {
    grpc::ClientContext context;
    Prepare(context, token);
    v1::GetModelResponse response;
    return stub_->GetModel(&context, {}, &response);
  }
  // An empty message to whatever method, one answer at most read.
  grpc::Status CallRaw(const std::string& method, const std::string& token) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    Prepare(context, token);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, method, &queue);
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      queue.Next(&tag, &ok);
    };
    call->StartCall(nullptr);
    wait();
    call->WriteLast(grpc::ByteBuffer(nullptr, 0), grpc::WriteOptions(), nullptr);
    wait();
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    wait();
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    return status;
  }

  const std::string path_ =
      absl::StrCat(testing::TempDir(), "/api_token_calls_",
                   testing::UnitTest::GetInstance()->current_test_info()->name());
  std::shared_ptr<ApiAccess> access_;
  std::unique_ptr<DemoServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

TEST_F(ApiTokenCallsTest, NoMethodAnswersWithoutAToken) {
  testing::internal::CaptureStderr();
  const google::protobuf::ServiceDescriptor* const service =
      v1::GenerateRequest::descriptor()->file()->FindServiceByName("Inference");
  ASSERT_NE(service, nullptr);
  ASSERT_GT(service->method_count(), 0);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string method =
        absl::StrCat("/", service->full_name(), "/", service->method(i)->name());
    EXPECT_EQ(CallRaw(method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(CallRaw(method, "wrong-token-of-a-test").error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << method;
    EXPECT_NE(CallRaw(method, kToken).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log,
              testing::HasSubstr("event=\"caller refused\" reason=no_token peer=ipv4:127.0.0.1:"));
}

TEST_F(ApiTokenCallsTest, HealthNeedsNoToken) {
  grpc::ClientContext context;
  Prepare(context, "");
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel_)->Check(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ApiTokenCallsTest, AKnownTokenGenerates) {
  grpc::ClientContext context;
  const grpc::Status status = Generate(kToken, context);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(ApiTokenCallsTest, TheRateIsRefusedWithARetryHint) {
  const std::string token = absl::StrCat("slow-", kLimited);
  ASSERT_TRUE(GetModel(token).ok());
  grpc::ClientContext context;
  EXPECT_EQ(Generate(token, context).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto hint = trailers.find("grpc-retry-pushback-ms");
  ASSERT_NE(hint, trailers.end());
  int64_t ms = 0;
  ASSERT_TRUE(absl::SimpleAtoi(std::string(hint->second.data(), hint->second.size()), &ms));
  EXPECT_GT(ms, 0);
  EXPECT_LE(ms, 60'001);
}

TEST_F(ApiTokenCallsTest, ConcurrentRequestsAreLimitedUntilOneEnds) {
  grpc::ClientContext running;
  Prepare(running, kLimited);
  const auto reader = stub_->Generate(&running, Request(500));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  grpc::ClientContext refused;
  EXPECT_EQ(Generate(kLimited, refused).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);
  EXPECT_TRUE(GetModel(kLimited).ok()) << "only Generate takes a place";
  while (reader->Read(&response)) {
  }
  ASSERT_TRUE(reader->Finish().ok());
  // One after the other is one at a time.
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    const grpc::Status status = Generate(kLimited, context);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

}  // namespace
}  // namespace tramontane
