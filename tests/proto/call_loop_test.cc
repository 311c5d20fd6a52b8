#include "proto/serving/call_loop.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "proto/serving/listener.h"
#include "proto/serving/unary_call.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  if (!bytes.Valid() || !bytes.DumpToSingleSlice(&slice).ok()) return "none";
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// What the reactors of a test have seen.
class Seen {
 public:
  void Call(std::thread::id thread) {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.insert(thread);
  }
  void Cancel() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_cancelled_;
    changed_.notify_all();
  }
  void Done() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_done_;
    changed_.notify_all();
  }
  void AwaitDone(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20),
                                  [this, count] { return num_done_ >= count; }));
    EXPECT_EQ(num_done_, count);
  }
  void AwaitCancelled() {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(20), [this] { return num_cancelled_ > 0; }));
  }
  int num_cancelled() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return num_cancelled_;
  }
  size_t num_threads() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return threads_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::thread::id> threads_;
  int num_cancelled_ = 0;
  int num_done_ = 0;
};

// A reactor whose end is seen. Deletes itself.
class SeenReactor : public CallReactor {
 public:
  explicit SeenReactor(Seen* seen) : seen_(seen) {}
  void OnCancel() override { seen_->Cancel(); }
  void OnDone() override {
    Seen* const seen = seen_;
    delete this;
    seen->Done();
  }

 protected:
  Seen* const seen_;
};

// Writes each message back, and finishes when the peer has closed its side. "later": that answer is
// written by a thread of its own. "stop": finishes with RESOURCE_EXHAUSTED instead.
class Echo final : public SeenReactor {
 public:
  explicit Echo(Seen* seen) : SeenReactor(seen) { StartRead(&incoming_); }
  ~Echo() override {
    if (writer_.joinable()) writer_.join();
  }

  void OnReadDone(bool ok) override {
    seen_->Call(std::this_thread::get_id());
    if (!ok) return Finish(cancelled_ ? grpc::Status::CANCELLED : grpc::Status::OK);
    const std::string text = Text(incoming_);
    if (text == "stop") return Finish({grpc::StatusCode::RESOURCE_EXHAUSTED, "stopped"});
    outgoing_ = incoming_;
    if (text != "later") return StartWrite(&outgoing_);
    if (writer_.joinable()) writer_.join();
    writer_ = std::thread([this] { StartWrite(&outgoing_); });
  }
  void OnWriteDone(bool ok) override {
    seen_->Call(std::this_thread::get_id());
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&incoming_);
  }
  void OnCancel() override {
    cancelled_ = true;
    SeenReactor::OnCancel();
  }

 private:
  bool cancelled_ = false;
  grpc::ByteBuffer incoming_, outgoing_;
  std::thread writer_;
};

// Does not finish before it is told to, whatever the peer does.
class Slow final : public SeenReactor {
 public:
  Slow(Seen* seen, CallReactor** self) : SeenReactor(seen) { *self = this; }
};

// Takes its time over each message, in the loop's thread.
class Busy final : public SeenReactor {
 public:
  Busy(Seen* seen, std::atomic<int>* num_read) : SeenReactor(seen), num_read_(num_read) {
    StartRead(&incoming_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    ++*num_read_;
    absl::SleepFor(absl::Milliseconds(2));
    StartRead(&incoming_);
  }

 private:
  std::atomic<int>* const num_read_;
  grpc::ByteBuffer incoming_;
};

class CallLoopTest : public ::testing::TestWithParam<absl::Duration> {
 protected:
  CallLoopTest() {
    ListenerOptions options;
    options.address = "127.0.0.1:0";
    options.max_message_bytes = 1 << 20;
    auto listener = Listener::StartLoop(
        options,
        {{"/test.Test/Echo", [this](grpc::ServerContext*) { return new Echo(&seen_); }},
         {"/test.Test/Slow", [this](grpc::ServerContext*) { return new Slow(&seen_, &slow_); }},
         {"/test.Test/Busy", [this](grpc::ServerContext*) { return new Busy(&seen_, &num_read_); }},
         {"/test.Test/Twice",
          [](grpc::ServerContext*) {
            return AnswerOnce(
                [](const grpc::ByteBuffer& request) -> absl::StatusOr<grpc::ByteBuffer> {
                  if (Text(request) == "bad") return absl::InvalidArgumentError("bad is bad");
                  return Bytes(Text(request) + Text(request));
                });
          }}},
        GetParam());
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    channel_ = grpc::CreateChannel(listener_->address(), grpc::InsecureChannelCredentials());
  }

  // A call of a generic client, each operation awaited.
  struct Client {
    Client(const std::shared_ptr<grpc::Channel>& channel, const std::string& path) : stub(channel) {
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
      call = stub.PrepareCall(&context, path, &queue);
      call->StartCall(nullptr);
      EXPECT_TRUE(Wait());
    }
    bool Wait() {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    }
    bool Write(const std::string& text) {
      call->Write(Bytes(text), nullptr);
      return Wait();
    }
    std::string Read() {
      grpc::ByteBuffer answer;
      call->Read(&answer, nullptr);
      return Wait() ? Text(answer) : "end";
    }
    grpc::Status End() {
      grpc::Status status;
      call->Finish(&status, nullptr);
      EXPECT_TRUE(Wait());
      return status;
    }

    grpc::GenericStub stub;
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
  };

  Seen seen_;
  CallReactor* slow_ = nullptr;
  std::atomic<int> num_read_{0};
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
};

INSTANTIATE_TEST_SUITE_P(Spins, CallLoopTest,
                         ::testing::Values(absl::ZeroDuration(), absl::Milliseconds(1)));

TEST_P(CallLoopTest, MessagesGoBothWaysUntilThePeerCloses) {
  Client client(channel_, "/test.Test/Echo");
  for (const std::string text : {"a", "later", "", "later", "b"}) {
    EXPECT_TRUE(client.Write(text));
    EXPECT_EQ(client.Read(), text);
  }
  client.call->WritesDone(nullptr);
  EXPECT_TRUE(client.Wait());
  EXPECT_EQ(client.Read(), "end");
  EXPECT_TRUE(client.End().ok());
  seen_.AwaitDone(1);
  EXPECT_EQ(seen_.num_cancelled(), 0);
}

TEST_P(CallLoopTest, OneThreadHandlesAllCalls) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) {
    // Connections of their own.
    grpc::ChannelArguments arguments;
    arguments.SetInt("test.connection", i);
    clients.push_back(std::make_unique<Client>(
        grpc::CreateCustomChannel(listener_->address(), grpc::InsecureChannelCredentials(),
                                  arguments),
        "/test.Test/Echo"));
  }
  for (int round = 0; round < 10; ++round) {
    for (auto& client : clients) EXPECT_TRUE(client->Write("later"));
    for (auto& client : clients) EXPECT_EQ(client->Read(), "later");
  }
  for (auto& client : clients) {
    EXPECT_TRUE(client->Write("stop"));
    EXPECT_EQ(client->End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  seen_.AwaitDone(20);
  EXPECT_EQ(seen_.num_threads(), 1u);
}

TEST_P(CallLoopTest, AUnaryMethodAnswersOnce) {
  for (const bool half_close : {true, false}) {
    CallScript script;
    script.path = "/test.Test/Twice";
    script.messages = {"ab"};
    script.half_close = half_close;
    EXPECT_TRUE(EndOfCall(channel_, script).ok());
    script.messages = {"bad"};
    const grpc::Status bad = EndOfCall(channel_, script);
    EXPECT_EQ(bad.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(bad.error_message(), "bad is bad");
  }
  CallScript none;
  none.path = "/test.Test/Twice";
  EXPECT_TRUE(EndOfCall(channel_, none).ok());
  Client client(channel_, "/test.Test/Twice");
  EXPECT_TRUE(client.Write("ab"));
  EXPECT_EQ(client.Read(), "abab");
  EXPECT_TRUE(client.End().ok());
}

TEST_P(CallLoopTest, AMessageThatIsTooLargeEndsItsCallAlone) {
  CallScript script;
  script.path = "/test.Test/Echo";
  script.messages = {std::string((1 << 20) + 1, 'x')};
  EXPECT_EQ(EndOfCall(channel_, script).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  Client client(channel_, "/test.Test/Echo");
  EXPECT_TRUE(client.Write("a"));
  EXPECT_EQ(client.Read(), "a");
}

TEST_P(CallLoopTest, AReactorHearsThatItsPeerIsGone) {
  {
    Client client(channel_, "/test.Test/Echo");
    EXPECT_TRUE(client.Write("a"));
    EXPECT_EQ(client.Read(), "a");
    client.context.TryCancel();
    EXPECT_EQ(client.End().error_code(), grpc::StatusCode::CANCELLED);
  }
  seen_.AwaitDone(1);
  EXPECT_EQ(seen_.num_cancelled(), 1);
}

TEST_P(CallLoopTest, ACallThatNobodyReadsFromStillEnds) {
  {
    Client client(channel_, "/test.Test/Slow");
    client.context.TryCancel();
    EXPECT_EQ(client.End().error_code(), grpc::StatusCode::CANCELLED);
  }
  seen_.AwaitCancelled();
  slow_->Finish(grpc::Status::OK);
  seen_.AwaitDone(1);
}

TEST_P(CallLoopTest, AMethodThatItLacksIsAnsweredWithThoseThatItHas) {
  CallScript script;
  script.path = "/test.Test/Ekko";
  script.messages = {"a"};
  const grpc::Status status = EndOfCall(channel_, script);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("there is no method /test.Test/Ekko"));
  EXPECT_THAT(status.error_message(), HasSubstr("grpc.health.v1.Health: Check, Watch"));
  EXPECT_THAT(status.error_message(), HasSubstr("grpc.reflection.v1alpha.ServerReflection"));
}

TEST_P(CallLoopTest, ShutdownCancelsWhatRunsAndWaitsForItsEnd) {
  Client client(channel_, "/test.Test/Slow");
  while (slow_ == nullptr) {
    // A call that came later has been opened later, by the same thread.
    Client after(channel_, "/test.Test/Echo");
    EXPECT_TRUE(after.Write("stop"));
    EXPECT_EQ(after.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  }
  std::thread finisher([this] {
    seen_.AwaitCancelled();
    slow_->Finish(grpc::Status::OK);
  });
  listener_->Shutdown(absl::Now() + absl::Milliseconds(50));
  finisher.join();
  EXPECT_GE(seen_.num_cancelled(), 1);
  EXPECT_FALSE(client.End().ok());
}

// All that it sent lies in the transport, so that each read ends as soon as it begins.
TEST_P(CallLoopTest, APeerThatSendsMuchAtOnceDoesNotKeepOthersWaiting) {
  constexpr int kMessages = 2'000;
  Client flood(channel_, "/test.Test/Busy");
  for (int i = 0; i < kMessages; ++i) EXPECT_TRUE(flood.Write("x"));
  grpc::ChannelArguments arguments;
  arguments.SetInt("test.connection", 1);
  Client other(grpc::CreateCustomChannel(listener_->address(), grpc::InsecureChannelCredentials(),
                                         arguments),
               "/test.Test/Echo");
  for (int i = 0; i < 3; ++i) {
    const int before = num_read_;
    ASSERT_LT(before, kMessages) << "it is over too soon to tell";
    EXPECT_TRUE(other.Write("a"));
    EXPECT_EQ(other.Read(), "a");
    EXPECT_LT(num_read_ - before, kMessages / 2);
  }
  flood.context.TryCancel();
  EXPECT_FALSE(flood.End().ok());
}

TEST_P(CallLoopTest, CallsThatComeWhileItStopsEnd) {
  constexpr int kCallers = 4;
  std::latch under_way(kCallers);
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([this, &under_way] {
      CallScript script;
      script.path = "/test.Test/Twice";
      script.messages = {"ab"};
      EXPECT_TRUE(EndOfCall(channel_, script).ok());
      under_way.count_down();
      while (EndOfCall(channel_, script).ok()) {
      }
    });
  }
  under_way.wait();
  listener_->Shutdown(absl::Now() + absl::Seconds(10));
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace tramontane
