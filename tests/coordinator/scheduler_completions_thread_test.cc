// Several completions of one prompt under threads: clients come and go, attention workers are lost,
// blocks are short.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "coordinator/scheduler.h"
#include "coordinator/wake_signal.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

constexpr int kClients = 6;
constexpr int kRequestsOfEach = 12;
constexpr int kNewTokens = 30;

GenerationPlan PlanOf(int client, int num_completions) {
  GenerationPlan plan;
  for (int i = 0; i < 20; ++i) plan.prompt_token_ids.push_back(10 + 20 * client + i);
  plan.max_tokens = kNewTokens;
  plan.sampling.seed = 100;
  plan.num_completions = num_completions;
  return plan;
}

// Reads a stream to its end, or cancels it after `cancel_after` tokens. Yields the tokens of each
// completion.
class CompletionsReader {
 public:
  CompletionsReader(std::shared_ptr<TokenStream> stream, int num_completions)
      : token_ids(static_cast<size_t>(num_completions)), stream_(std::move(stream)) {
    stream_->SetReadyCallback([ready = ready_] { ready->Raise(); });
  }
  ~CompletionsReader() { stream_->SetReadyCallback(nullptr); }

  absl::Status AwaitEnd(size_t cancel_after) {
    size_t count = 0;
    while (true) {
      TokenStream::Batch batch = stream_->Take(64);
      std::vector<int32_t>& so_far = token_ids[static_cast<size_t>(batch.output.completion_index)];
      count += batch.output.token_ids.size();
      so_far.insert(so_far.end(), batch.output.token_ids.begin(), batch.output.token_ids.end());
      if (batch.end.has_value()) return *batch.end;
      if (count >= cancel_after) stream_->Cancel(absl::CancelledError("enough"));
      if (batch.output.empty()) ready_->WaitFor(absl::Minutes(1));
    }
  }

  std::vector<std::vector<int32_t>> token_ids;

 private:
  const std::shared_ptr<TokenStream> stream_;
  const std::shared_ptr<WakeSignal> ready_ = std::make_shared<WakeSignal>();
};

// What the fake worker makes of the plan's completions.
std::vector<std::vector<int32_t>> Expected(const GenerationPlan& plan) {
  std::vector<std::vector<int32_t>> expected;
  for (int i = 0; i < plan.num_completions; ++i) {
    FakeAttentionClient attention;
    SchedulerObserver observer;
    Scheduler scheduler({&attention}, nullptr, &observer, {});
    GenerationPlan one = PlanOfCompletion(plan, i);
    one.num_completions = 1;
    one.completion_index = 0;
    const auto stream = *scheduler.Submit(one, absl::InfiniteFuture());
    while (scheduler.RunOnce()) {
    }
    expected.push_back(stream->Take(1000).output.token_ids);
  }
  return expected;
}

TEST(CompletionsThreadTest, WhateverHappensToOthersNoTokenChangesAndNothingIsLeft) {
  FakeAttentionOptions small;
  small.block_size = 4;
  small.num_blocks = 48;  // a completion ends with 13, of which 4 are shared
  FakeAttentionClient first(small), second(small);
  SchedulerObserver observer;
  SchedulerOptions options;
  options.max_running_requests = 12;
  options.max_step_tokens = 24;
  options.stream_capacity_tokens = 40;
  std::atomic<int> finished{0};
  {
    Scheduler scheduler({&first, &second}, nullptr, &observer, options);
    scheduler.Start();
    std::vector<std::thread> clients;
    for (int client = 0; client < kClients; ++client) {
      clients.emplace_back([&, client] {
        const GenerationPlan plan = PlanOf(client, 1 + client);
        const auto expected = Expected(plan);
        for (int i = 0; i < kRequestsOfEach; ++i) {
          auto stream = scheduler.Submit(plan, absl::InfiniteFuture());
          ASSERT_TRUE(stream.ok()) << stream.status();
          CompletionsReader reader(*std::move(stream), plan.num_completions);
          const bool cancels = i % 4 == 3;
          const absl::Status end = reader.AwaitEnd(cancels ? static_cast<size_t>(3 * i) : 100'000);
          if (end.ok()) {
            EXPECT_EQ(reader.token_ids, expected) << client << " " << i;
            ++finished;
          } else {
            EXPECT_TRUE(cancels) << end;  // three losses end no request
          }
        }
      });
    }
    // Both lose what they hold now and then.
    for (int i = 0; i < 3; ++i) {
      const int so_far = finished;
      while (finished < so_far + 3) std::this_thread::yield();
      (i % 2 == 0 ? first : second).LoseEverything();
      scheduler.Wake();
    }
    for (std::thread& client : clients) client.join();
    scheduler.Drain(absl::InfiniteFuture());
    EXPECT_EQ(scheduler.num_running() + scheduler.num_waiting(), 0);
  }
  EXPECT_GE(finished, kClients * kRequestsOfEach * 3 / 4);
  for (const FakeAttentionClient* worker : {&first, &second}) {
    EXPECT_EQ(worker->num_sequences(), 0u);
    EXPECT_EQ(worker->kv_cache_usage().num_free_blocks, small.num_blocks);
  }
}

}  // namespace
}  // namespace tramontane
