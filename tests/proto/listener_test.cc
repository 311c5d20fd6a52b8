#include "proto/serving/listener.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/time/clock.h"
#include "proto/expert.grpc.pb.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

class EmptyService final : public v1::ExpertWorker::Service {};

// grpc.health.v1.Health/Check by hand, since no library ships its stub: the request's field 1 is
// the service, the response's field 1 the state (1 SERVING, 2 NOT_SERVING).
grpc::Status CheckHealth(const std::string& address, const std::string& service, char* state) {
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  context.set_wait_for_ready(true);
  std::string bytes;
  if (!service.empty()) bytes = std::string("\x0a") + static_cast<char>(service.size()) + service;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::CompletionQueue queue;
  const auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice answer;
  if (status.ok() && response.DumpToSingleSlice(&answer).ok() && answer.size() == 2) {
    *state = static_cast<char>(answer.begin()[1]);
  }
  return status;
}

ListenerOptions OnLoopback() {
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  return options;
}

TEST(ListenerTest, TellsThePortThatItTook) {
  EmptyService service;
  const auto listener = Listener::Start(OnLoopback(), &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_THAT((*listener)->address(), ::testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
}

TEST(ListenerTest, HealthFollowsSetServing) {
  EmptyService service;
  const auto listener = Listener::Start(OnLoopback(), &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  for (const char* name : {"", "tramontane.v1.ExpertWorker"}) {
    char state = 0;
    (*listener)->SetServing(false);
    ASSERT_TRUE(CheckHealth((*listener)->address(), name, &state).ok()) << name;
    EXPECT_EQ(state, 2) << name;
    (*listener)->SetServing(true);
    ASSERT_TRUE(CheckHealth((*listener)->address(), name, &state).ok()) << name;
    EXPECT_EQ(state, 1) << name;
  }
}

TEST(ListenerTest, ReflectsItsServices) {
  EmptyService service;
  const auto listener = Listener::Start(OnLoopback(), &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  // ServerReflectionRequest with field 7, list_services, by hand as above.
  const auto channel =
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(wait());
  const grpc::Slice slice(std::string("\x3a\x01*"));
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  ASSERT_TRUE(wait());
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  ASSERT_TRUE(wait());
  grpc::Slice answer;
  ASSERT_TRUE(response.DumpToSingleSlice(&answer).ok());
  EXPECT_THAT(std::string(answer.begin(), answer.end()), HasSubstr("tramontane.v1.ExpertWorker"));
  grpc::Status status;
  call->WritesDone(nullptr);
  ASSERT_TRUE(wait());
  call->Finish(&status, nullptr);
  ASSERT_TRUE(wait());
}

TEST(ListenerTest, AMethodThatItLacksIsAnsweredWithThoseThatItHas) {
  EmptyService service;
  const auto listener = Listener::Start(OnLoopback(), &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto channel =
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials());
  for (const std::string& path :
       {std::string("/tramontane.v1.ExpertWorker/Exekute"), std::string("/Other/Describe"),
        std::string("/"), "/" + std::string(3'000, 'x')}) {
    CallScript script;
    script.path = path;
    script.messages = {"", "\xff"};
    const grpc::Status status = EndOfCall(channel, script);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << path;
    EXPECT_THAT(status.error_message(), HasSubstr(path.substr(0, 100)));
    EXPECT_THAT(status.error_message(), HasSubstr("tramontane.v1.ExpertWorker: Describe, Execute"));
    EXPECT_THAT(status.error_message(), HasSubstr("grpc.reflection.v1alpha.ServerReflection"));
    EXPECT_LT(status.error_message().size(), 500u);
  }
}

TEST(ListenerTest, RefusesPlaintextBeyondLoopbackWithoutLeave) {
  EmptyService service;
  ListenerOptions options;
  options.address = "0.0.0.0:0";
  const absl::Status refused = Listener::Start(options, &service).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--allow_plaintext_beyond_loopback"));
}

TEST(ListenerTest, ATakenPortIsUnavailable) {
  EmptyService first_service;
  EmptyService second_service;
  const auto first = Listener::Start(OnLoopback(), &first_service);
  ASSERT_TRUE(first.ok()) << first.status();
  ListenerOptions options;
  options.address = (*first)->address();
  const absl::Status refused = Listener::Start(options, &second_service).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr(options.address));
}

TEST(ListenerTest, AnAddressWithoutPortIsInvalid) {
  EmptyService service;
  ListenerOptions options;
  options.address = "localhost";
  EXPECT_EQ(Listener::Start(options, &service).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tramontane
