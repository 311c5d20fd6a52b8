// The scheduler with its own thread: waking, draining, stopping.
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "coordinator/scheduler.h"
#include "coordinator/wake_signal.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

GenerationPlan Plan(int max_tokens) {
  GenerationPlan plan;
  plan.prompt_token_ids = {5, 6, 7};
  plan.max_tokens = max_tokens;
  return plan;
}

// Reads a stream to its end.
class StreamReader {
 public:
  explicit StreamReader(std::shared_ptr<TokenStream> stream) : stream_(std::move(stream)) {
    stream_->SetReadyCallback([ready = ready_] { ready->Raise(); });
  }
  ~StreamReader() { stream_->SetReadyCallback(nullptr); }

  absl::Status AwaitEnd() {
    while (true) {
      const TokenStream::Batch batch = stream_->Take(64);
      num_tokens += batch.output.token_ids.size();
      if (batch.end.has_value()) return *batch.end;
      if (batch.output.empty()) ready_->WaitFor(absl::Minutes(1));
    }
  }

  size_t num_tokens = 0;

 private:
  const std::shared_ptr<TokenStream> stream_;
  const std::shared_ptr<WakeSignal> ready_ = std::make_shared<WakeSignal>();
};

class SchedulerThreadTest : public testing::Test {
 protected:
  // Room for more tokens than a stream holds unread.
  SchedulerThreadTest()
      : attention_({.num_blocks = 1024}), scheduler_({&attention_}, nullptr, &observer_, {}) {
    scheduler_.Start();
  }

  FakeAttentionClient attention_;
  SchedulerObserver observer_;
  Scheduler scheduler_;
};

TEST_F(SchedulerThreadTest, RequestsFromManyThreadsAllFinish) {
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([this, client] {
      for (int i = 0; i < 10; ++i) {
        auto stream = scheduler_.Submit(Plan(1 + client), absl::InfiniteFuture());
        ASSERT_TRUE(stream.ok()) << stream.status();
        StreamReader reader(*std::move(stream));
        EXPECT_TRUE(reader.AwaitEnd().ok());
        EXPECT_EQ(reader.num_tokens, static_cast<size_t>(1 + client));
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(SchedulerThreadTest, DrainFinishesWhatWasAcceptedAndRefusesNewRequests) {
  std::vector<std::shared_ptr<TokenStream>> streams;
  for (int i = 0; i < 5; ++i) {
    streams.push_back(*scheduler_.Submit(Plan(20), absl::InfiniteFuture()));
  }
  scheduler_.Drain(absl::InfiniteFuture());
  for (const auto& stream : streams) {
    StreamReader reader(stream);
    EXPECT_TRUE(reader.AwaitEnd().ok());
    EXPECT_EQ(reader.num_tokens, 20u);
  }
  EXPECT_EQ(scheduler_.Submit(Plan(1), absl::InfiniteFuture()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(SchedulerThreadTest, DrainsDeadlineEndsTheRestWithUnavailable) {
  // Nobody reads, so that it pauses rather than finishes before the drain.
  const auto stream = *scheduler_.Submit(Plan(10'000), absl::InfiniteFuture());
  scheduler_.Drain(absl::InfinitePast());
  StreamReader reader(stream);
  EXPECT_EQ(reader.AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(attention_.num_sequences(), 0u);
}

TEST_F(SchedulerThreadTest, DeliveredMeansThatNoReaderHoldsAStream) {
  EXPECT_TRUE(scheduler_.AwaitDelivered(absl::Now()));
  auto stream = *scheduler_.Submit(Plan(2), absl::InfiniteFuture());
  scheduler_.Drain(absl::InfiniteFuture());
  EXPECT_FALSE(scheduler_.AwaitDelivered(absl::Now()));
  std::thread reader(
      [stream = std::move(stream)] { EXPECT_TRUE(StreamReader(stream).AwaitEnd().ok()); });
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(scheduler_.AwaitDelivered(begin + absl::Seconds(60)));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(30)) << "it was not told, but looked at the end";
  reader.join();
}

TEST_F(SchedulerThreadTest, CancelWhileAStepRunsFreesTheSequence) {
  std::mutex mutex;
  std::condition_variable changed;
  bool in_step = false;
  bool may_go_on = false;
  attention_.set_on_step([&](const StepRequest&) {
    std::unique_lock<std::mutex> lock(mutex);
    in_step = true;
    changed.notify_all();
    changed.wait(lock, [&] { return may_go_on; });
  });
  const auto stream = *scheduler_.Submit(Plan(900), absl::InfiniteFuture());
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return in_step; });
    stream->Cancel(absl::CancelledError("gone"));
    may_go_on = true;
  }
  changed.notify_all();
  scheduler_.Drain(absl::InfiniteFuture());
  EXPECT_EQ(attention_.num_sequences(), 0u);
  EXPECT_EQ(attention_.steps().size(), 1u) << "no step after the one that ran";
}

TEST(SchedulerStopTest, DestructionEndsWhatIsLeft) {
  FakeAttentionClient attention;
  SchedulerObserver observer;
  std::shared_ptr<TokenStream> stream;
  {
    Scheduler scheduler({&attention}, nullptr, &observer, {});
    stream = *scheduler.Submit(Plan(4), absl::InfiniteFuture());
  }
  StreamReader reader(stream);
  EXPECT_EQ(reader.AwaitEnd().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tramontane
