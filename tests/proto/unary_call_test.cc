#include "proto/serving/unary_call.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "proto/serving/listener.h"

namespace tramontane {
namespace {

// A call with no bytes, which it gets back.
class Call {
 public:
  Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& path) : stub_(channel) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const grpc::Slice nothing("", 0);
    reader_ = stub_.PrepareUnaryCall(&context_, path, grpc::ByteBuffer(&nothing, 1), &queue_);
    reader_->StartCall();
    reader_->Finish(&answer_, &status_, nullptr);
  }
  grpc::Status Await() {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue_.Next(&tag, &ok));
    return status_;
  }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
};

TEST(UnaryCallTest, WhatWaitsOnAThreadOfItsOwnKeepsNoOtherCallWaiting) {
  std::promise<void> asked, go;
  const auto wait = [&](const grpc::ByteBuffer& bytes) {
    asked.set_value();
    go.get_future().wait();
    return bytes;
  };
  const auto answer = [](const grpc::ByteBuffer& bytes) { return bytes; };
  TaskThread thread;
  ListenerOptions options;
  options.address = "127.0.0.1:0";
  const auto listener = Listener::StartLoop(
      options,
      {{"/test.Test/Wait", [&](grpc::ServerContext*) { return AnswerOnce(wait, &thread); }},
       {"/test.Test/Answer", [&](grpc::ServerContext*) { return AnswerOnce(answer); }}},
      absl::ZeroDuration());
  ASSERT_TRUE(listener.ok()) << listener.status();
  const auto channel =
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials());
  Call waits(channel, "/test.Test/Wait");
  asked.get_future().wait();
  EXPECT_TRUE(Call(channel, "/test.Test/Answer").Await().ok());
  go.set_value();
  EXPECT_TRUE(waits.Await().ok());
}

}  // namespace
}  // namespace tramontane
