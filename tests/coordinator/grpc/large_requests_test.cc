// Requests whose reading takes long or much memory, as they come over a channel.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/inference.grpc.pb.h"
#include "tests/coordinator/grpc/demo_server.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

// More than is read where it comes in, and far more tokens than the model's context has.
std::string LargeText() {
  std::string text;
  while (text.size() < 17'000) text += "an upon ";
  return text;
}

class LargeRequestsTest : public testing::Test {
 protected:
  grpc::Status Generate(const v1::GenerateRequest& request, grpc::ClientContext* context) {
    const auto reader = stub_->Generate(context, request);
    v1::GenerateResponse message;
    while (reader->Read(&message)) {
    }
    return reader->Finish();
  }
  grpc::Status Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    return Generate(request, &context);
  }
  static v1::GenerateRequest Small() {
    v1::GenerateRequest request;
    request.set_prompt("Once");
    request.set_max_tokens(2);
    return request;
  }
  static v1::GenerateRequest Large() {
    v1::GenerateRequest request = Small();
    request.set_prompt(LargeText());
    return request;
  }

  DemoServer server_;
  const std::unique_ptr<v1::Inference::Stub> stub_ = server_.NewStub();
};

TEST_F(LargeRequestsTest, AreAnsweredLikeOthers) {
  const grpc::Status too_long = Generate(Large());
  EXPECT_EQ(too_long.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(too_long.error_message(), HasSubstr("; expected at most "));

  v1::GenerateRequest padded = Small();  // with a field that nobody knows
  padded.GetReflection()->MutableUnknownFields(&padded)->AddLengthDelimited(1000, LargeText());
  EXPECT_TRUE(Generate(padded).ok());

  grpc::ClientContext context;
  v1::TokenizeRequest text;
  text.set_text(LargeText().substr(0, 11'500));
  text.GetReflection()->MutableUnknownFields(&text)->AddLengthDelimited(1000, LargeText());
  v1::TokenizeResponse tokens;
  const grpc::Status status = stub_->Tokenize(&context, text, &tokens);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(tokens.token_ids_size(), 1'500);
}

TEST_F(LargeRequestsTest, DoNotHoldUpSmallOnes) {
  std::promise<void> begun, release;
  server_.reading().Post([&] {
    begun.set_value();
    release.get_future().wait();
  });
  begun.get_future().wait();
  std::vector<std::thread> clients;
  std::vector<grpc::Status> ends(6);  // more than gRPC has threads on a small machine
  for (grpc::Status& end : ends) clients.emplace_back([this, &end] { end = Generate(Large()); });
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Generate(Small()).ok());
  release.set_value();
  for (std::thread& client : clients) client.join();
  for (const grpc::Status& end : ends) {
    EXPECT_EQ(end.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << end.error_message();
  }
}

TEST_F(LargeRequestsTest, OneThatIsCancelledWhileItWaitsIsNotRun) {
  std::promise<void> release;
  server_.reading().Post([&] { release.get_future().wait(); });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(Generate(Large(), &context).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  release.set_value();
  EXPECT_TRUE(Generate(Small()).ok());
  EXPECT_EQ(server_.scheduler().num_running(), 0);
}

// Two bytes each on the wire, more than a hundred in memory.
TEST_F(LargeRequestsTest, TooManyEntriesAreRefusedUnparsed) {
  v1::GenerateRequest request;
  v1::TokenizeRequest tokenize;
  for (int i = 0; i < 50'000; ++i) {
    request.add_messages();
    tokenize.add_messages();
  }
  const grpc::Status status = Generate(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "messages has 50000 entries; expected at most 1024");
  grpc::ClientContext context;
  v1::TokenizeResponse tokens;
  EXPECT_EQ(stub_->Tokenize(&context, tokenize, &tokens).error_message(), status.error_message());
  request.clear_messages();
  for (int i = 0; i < 50'000; ++i) request.add_stop("");
  EXPECT_EQ(Generate(request).error_message(), "stop has 50000 entries; expected at most 16");
}

// Clients without a deadline of their own send the farthest that there is.
TEST_F(LargeRequestsTest, AFarDeadlineIsNotOneThatHasPassed) {
  for (const int64_t hours : {int64_t{1'000}, int64_t{2'100'000}, int64_t{2'562'047}}) {
    grpc::ClientContext context;
    context.set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_REALTIME), gpr_time_from_hours(hours, GPR_TIMESPAN)));
    EXPECT_TRUE(Generate(Small(), &context).ok()) << hours;
  }
}

}  // namespace
}  // namespace tramontane
