#include "proto/serving/listener.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "proto/expert.grpc.pb.h"
#include "tests/fakes/health_probe.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

class EmptyService final : public v1::ExpertWorker::Service {};

// Answers Describe when it is told to.
class PatientService final : public v1::ExpertWorker::Service {
 public:
  grpc::Status Describe(grpc::ServerContext* /*context*/, const v1::DescribeRequest* /*request*/,
                        v1::DescribeResponse* response) override {
    begun_.set_value();
    released_.get_future().wait();
    response->set_backend("patient");
    return grpc::Status::OK;
  }

  std::promise<void> begun_;
  std::promise<void> released_;
};

class NamedService final : public v1::ExpertWorker::Service {
 public:
  grpc::Status Describe(grpc::ServerContext* /*context*/, const v1::DescribeRequest* /*request*/,
                        v1::DescribeResponse* response) override {
    response->set_backend("named");
    return grpc::Status::OK;
  }
};

struct Described {
  grpc::Status status;
  std::string backend;
};

Described Describe(v1::ExpertWorker::Stub& stub) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::DescribeResponse response;
  const grpc::Status status = stub.Describe(&context, v1::DescribeRequest(), &response);
  return {status, response.backend()};
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
    (*listener)->SetServing(false);
    EXPECT_EQ(ProbeHealth((*listener)->address(), name), HealthState::kNotServing) << name;
    (*listener)->SetServing(true);
    EXPECT_EQ(ProbeHealth((*listener)->address(), name), HealthState::kServing) << name;
  }
}

TEST(ListenerTest, RefusingNewCallsLetsRunningOnesFinishAndSendsClientsElsewhere) {
  PatientService leaving;
  NamedService other;
  const auto first = Listener::Start(OnLoopback(), &leaving);
  const auto second = Listener::Start(OnLoopback(), &other);
  ASSERT_TRUE(first.ok() && second.ok());
  // Tries the addresses in this order.
  const auto stub = v1::ExpertWorker::NewStub(
      grpc::CreateChannel("ipv4:" + (*first)->address() + "," + (*second)->address(),
                          grpc::InsecureChannelCredentials()));
  Described running;
  std::thread caller([&] { running = Describe(*stub); });
  leaving.begun_.get_future().wait();
  (*first)->RefuseNewCalls();
  // Until the client has heard of it, its calls are refused.
  Described next;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  do {
    next = Describe(*stub);
  } while (!next.status.ok() && absl::Now() < deadline);
  EXPECT_TRUE(next.status.ok()) << next.status.error_message();
  EXPECT_EQ(next.backend, "named");
  leaving.released_.set_value();
  caller.join();
  EXPECT_TRUE(running.status.ok()) << running.status.error_message();
  EXPECT_EQ(running.backend, "patient");
  (*first)->Shutdown(absl::Now() + absl::Seconds(20));
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

size_t NumThreads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

// Reflection blocks a thread for each stream.
TEST(ListenerTest, ReflectionStreamsThatStayOpenTakeFewThreads) {
  EmptyService service;
  const auto listener = Listener::Start(OnLoopback(), &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  grpc::GenericStub stub(
      grpc::CreateChannel((*listener)->address(), grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    grpc::ByteBuffer answer;
    grpc::Status status;
  };
  constexpr size_t kStreams = 200;
  std::vector<Stream> streams(kStreams);
  // Ends the operation of each stream that was started last. How many went well.
  const auto await_all = [&queue] {
    size_t num_ok = 0;
    void* tag = nullptr;
    bool ok = false;
    for (size_t i = 0; i < kStreams && queue.Next(&tag, &ok); ++i) num_ok += ok ? 1 : 0;
    return num_ok;
  };
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
  for (Stream& stream : streams) {
    stream.context.set_deadline(deadline);
    stream.call = stub.PrepareCall(
        &stream.context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
    stream.call->StartCall(nullptr);
  }
  ASSERT_EQ(await_all(), kStreams);
  const size_t before = NumThreads();
  const grpc::Slice list_services(std::string("\x3a\x01*"));
  for (Stream& stream : streams) {
    stream.call->Write(grpc::ByteBuffer(&list_services, 1), nullptr);
  }
  await_all();
  for (Stream& stream : streams) stream.call->Read(&stream.answer, nullptr);
  const size_t num_answered = await_all();
  EXPECT_GE(num_answered, 1u);
  EXPECT_LE(num_answered, 8u);
  EXPECT_LT(NumThreads(), before + 16);
  for (Stream& stream : streams) {
    if (stream.answer.Valid()) stream.context.TryCancel();
    stream.call->Finish(&stream.status, nullptr);
  }
  await_all();
  const auto refused = std::count_if(streams.begin(), streams.end(), [](const Stream& stream) {
    return stream.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  });
  EXPECT_EQ(static_cast<size_t>(refused), kStreams - num_answered)
      << streams.back().status.error_code() << streams.back().status.error_message();
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

// 256 KiB of gzip would be 256 MiB before gRPC looks at their size.
TEST(ListenerTest, ACompressedMessageIsNotInflated) {
  EmptyService service;
  ListenerOptions options = OnLoopback();
  options.max_message_bytes = 1 << 20;
  const auto listener = Listener::Start(options, &service);
  ASSERT_TRUE(listener.ok()) << listener.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxSendMessageSize(-1);
  const auto channel = grpc::CreateCustomChannel((*listener)->address(),
                                                 grpc::InsecureChannelCredentials(), arguments);
  for (const std::string path : {"/tramontane.v1.ExpertWorker/Describe",
                                 "/grpc.health.v1.Health/Check", "/Other/Describe"}) {
    CallScript script;
    script.path = path;
    script.compressed = true;
    script.messages = {std::string(size_t{4} << 20, '\0')};
    const grpc::Status status = EndOfCall(channel, script);
    // RESOURCE_EXHAUSTED were the size of what it was inflated to.
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
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
