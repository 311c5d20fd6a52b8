// The health service of a CallLoop, as clients see it.
#include "proto/serving/health_board.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "proto/health.grpc.pb.h"
#include "proto/serving/listener.h"
#include "proto/serving/unary_call.h"
#include "proto/wire/call_message.h"
#include "tests/fakes/fake_bidi_call.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthBoardTest : public ::testing::Test {
 protected:
  HealthBoardTest() {
    ListenerOptions options;
    options.address = "127.0.0.1:0";
    auto listener = Listener::StartLoop(
        options,
        {{"/test.Test/Nothing",
          [](grpc::ServerContext*) {
            return AnswerOnce([](const grpc::ByteBuffer& bytes) { return bytes; });
          }}},
        absl::ZeroDuration());
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    channel_ = grpc::CreateChannel(listener_->address(), grpc::InsecureChannelCredentials());
    stub_ = Health::NewStub(channel_);
  }

  // Of a call of Check: the state, or the code where it failed.
  std::pair<grpc::StatusCode, int> Check(const std::string& name) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    HealthCheckRequest request;
    request.set_service(name);
    HealthCheckResponse response;
    const grpc::Status status = stub_->Check(&context, request, &response);
    return {status.error_code(), response.status()};
  }

  struct Watch {
    Watch(Health::Stub& stub, const std::string& name) {
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      HealthCheckRequest request;
      request.set_service(name);
      reader = stub.Watch(&context, request);
    }
    // -1 at the end.
    int Next() {
      HealthCheckResponse response;
      return reader->Read(&response) ? response.status() : -1;
    }
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader;
  };

  std::unique_ptr<Listener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Health::Stub> stub_;
};

TEST_F(HealthBoardTest, CheckFollowsTheServerAndItsService) {
  for (const bool serving : {false, true, false}) {
    if (serving) listener_->SetServing(true);
    const int state = serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
    for (const char* name : {"", "test.Test"}) {
      EXPECT_EQ(Check(name), std::pair(grpc::StatusCode::OK, state)) << name;
    }
    if (serving) listener_->SetServing(false);
  }
  listener_->SetServing("live", true);
  EXPECT_EQ(Check("live").second, HealthCheckResponse::SERVING);
}

TEST_F(HealthBoardTest, ANameThatNobodyHasIsNotFound) {
  EXPECT_EQ(Check("test.Tset").first, grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Check(std::string(200, 'x')).first, grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Check(std::string(201, 'x')).first, grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(HealthBoardTest, AWatcherHearsOfEachChangeOnce) {
  Watch whole(*stub_, ""), unknown(*stub_, "later");
  EXPECT_EQ(whole.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(unknown.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  listener_->SetServing(false);  // no change
  listener_->SetServing(true);
  EXPECT_EQ(whole.Next(), HealthCheckResponse::SERVING);
  listener_->SetServing("later", false);
  EXPECT_EQ(unknown.Next(), HealthCheckResponse::NOT_SERVING);
  listener_->SetServing(false);
  EXPECT_EQ(whole.Next(), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthBoardTest, AWatcherThatLagsHearsTheLast) {
  Watch watch(*stub_, "");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  for (int i = 0; i < 1'000; ++i) listener_->SetServing(i % 2 == 0);
  listener_->SetServing(true);
  listener_->SetServing("end", true);
  // However many of them it has heard.
  int state = HealthCheckResponse::NOT_SERVING, next = watch.Next();
  for (; next >= 0; next = watch.Next()) {
    state = next;
    if (state == HealthCheckResponse::SERVING) watch.context.TryCancel();
  }
  EXPECT_EQ(state, HealthCheckResponse::SERVING);
}

TEST_F(HealthBoardTest, WatchersThatLeaveAreForgotten) {
  for (int i = 0; i < 20; ++i) {
    Watch watch(*stub_, i % 2 == 0 ? "" : "unknown");
    if (i % 3 > 0) {
      EXPECT_GE(watch.Next(), 0);
    }
    watch.context.TryCancel();
    listener_->SetServing(i % 2 == 0);
    EXPECT_EQ(watch.reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_EQ(Check("").first, grpc::StatusCode::OK);
}

// gRPC may tell of the end before it tells of the question.
TEST(HealthBoardWatcherTest, AQuestionBehindTheEndIsForgotten) {
  HealthBoard board;
  board.SetServingStatus("", true);
  for (const LoopMethod& method : board.Methods()) {
    if (method.path != "/grpc.health.v1.Health/Watch") continue;
    FakeBidiCall call;
    CallReactor* const watcher = method.open(nullptr);
    call.Bind(watcher);
    watcher->OnCancel();
    EXPECT_TRUE(call.status().has_value());
    call.CompleteRead(SerializeMessage(HealthCheckRequest()));
    EXPECT_EQ(call.num_started_after_finish(), 0);
    watcher->OnDone();
    board.SetServingStatus("", false);  // tells nobody who is gone
  }
}

TEST_F(HealthBoardTest, WhatIsNoQuestionIsInvalid) {
  for (const char* method : {"Check", "Watch"}) {
    for (const std::vector<std::string>& messages :
         {std::vector<std::string>{"\xff\xff"}, {}, {std::string("\x0a\x02\xff\xff")}}) {
      CallScript script;
      script.path = std::string("/grpc.health.v1.Health/") + method;
      script.messages = messages;
      EXPECT_EQ(EndOfCall(channel_, script).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
          << method << messages.size();
    }
  }
}

TEST_F(HealthBoardTest, ShutdownTellsWatchersAndEndsThem) {
  listener_->SetServing(true);
  Watch watch(*stub_, "");
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVING);
  // Calls may run on for long, but a watch would never end by itself.
  std::thread stopper([this] { listener_->Shutdown(absl::Now() + absl::Hours(1)); });
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(watch.Next(), -1);
  EXPECT_EQ(watch.reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stopper.join();
}

}  // namespace
}  // namespace tramontane
