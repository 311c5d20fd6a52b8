#include "proto/serving/unary_call.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "absl/time/time.h"
#include "proto/serving/listener.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

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
  const auto end_of_call = [&channel](const std::string& method) {
    return EndOfCall(channel, {.path = "/test.Test/" + method, .messages = {""}});
  };
  auto waits = std::async(std::launch::async, end_of_call, "Wait");
  asked.get_future().wait();
  EXPECT_TRUE(end_of_call("Answer").ok());
  go.set_value();
  EXPECT_TRUE(waits.get().ok());
}

}  // namespace
}  // namespace tramontane
