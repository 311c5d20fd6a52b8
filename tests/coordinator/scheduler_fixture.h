// A scheduler with a fake attention worker and a clock that a test moves.
#ifndef TRAMONTANE_TESTS_COORDINATOR_SCHEDULER_FIXTURE_H_
#define TRAMONTANE_TESTS_COORDINATOR_SCHEDULER_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "coordinator/scheduler.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {

// What the scheduler told its observer.
struct RecordingObserver : SchedulerObserver {
  void OnStepTokens(int64_t prompt, int64_t made) override {
    prompt_tokens += prompt;
    new_tokens += made;
  }
  void OnFirstToken(absl::Duration since_arrival) override { first.push_back(since_arrival); }
  void OnNextToken(absl::Duration since_the_one_before) override {
    next.push_back(since_the_one_before);
  }
  void OnAdmitted(int64_t, int64_t cached) override { cached_tokens.push_back(cached); }
  void OnPreempted() override { ++preemptions; }
  void OnStarted(absl::Duration waited) override { queue.push_back(waited); }
  void OnEnded(const absl::Status& status, absl::Duration) override {
    ended.push_back(status.code());
  }
  void OnRefused(Refusal reason) override { ++refusals[reason]; }
  void OnEstimatedWait(absl::Duration wait) override { estimated_wait = wait; }
  void OnRound(int64_t running, int64_t waiting, const KvCacheUsage&) override {
    num_running = running;
    num_waiting = waiting;
  }

  int64_t prompt_tokens = 0, new_tokens = 0, num_running = 0, num_waiting = 0, preemptions = 0;
  std::map<Refusal, int> refusals;
  absl::Duration estimated_wait;
  std::vector<int64_t> cached_tokens;
  std::vector<absl::Duration> first, next, queue;
  std::vector<absl::StatusCode> ended;
};

// Everything that a stream has yielded so far.
struct StreamContents {
  GenerationOutput output;
  std::optional<absl::Status> end;
};

class SchedulerFixture : public testing::Test {
 protected:
  void MakeScheduler(SchedulerOptions options = {}, FakeAttentionOptions attention = {},
                     const Tokenizer* tokenizer = nullptr) {
    options.clock = [this] {
      const absl::Time now = now_;
      now_ += look_takes_;
      return now;
    };
    attention_ = std::make_unique<FakeAttentionClient>(attention);
    scheduler_ = std::make_unique<Scheduler>(std::vector<AttentionClient*>{attention_.get()},
                                             tokenizer, &observer_, options);
  }

  // A greedy plan of a prompt of `prompt_tokens` tokens 10, 11, … (or from another first one).
  static GenerationPlan Plan(int prompt_tokens, int max_tokens, int first_token_id = 10) {
    GenerationPlan plan;
    for (int i = 0; i < prompt_tokens; ++i) plan.prompt_token_ids.push_back(first_token_id + i);
    plan.max_tokens = max_tokens;
    return plan;
  }

  std::shared_ptr<TokenStream> Submit(GenerationPlan plan,
                                      absl::Time deadline = absl::InfiniteFuture()) {
    auto stream = scheduler_->Submit(std::move(plan), deadline);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return stream.ok() ? *stream : nullptr;
  }

  // Runs steps until there is nothing to run.
  void RunAll() {
    while (scheduler_->RunOnce()) {
    }
  }

  static StreamContents Read(TokenStream& stream) {
    StreamContents contents;
    TokenStream::Batch batch = stream.Take(1'000'000);
    contents.output = std::move(batch.output);
    contents.end = std::move(batch.end);
    return contents;
  }

  static absl::StatusCode EndOf(TokenStream& stream) {
    const StreamContents contents = Read(stream);
    return contents.end.has_value() ? contents.end->code() : absl::StatusCode::kUnknown;
  }

  absl::Time now_ = absl::UnixEpoch();
  absl::Duration look_takes_;  // at the clock
  RecordingObserver observer_;
  std::unique_ptr<FakeAttentionClient> attention_;
  std::unique_ptr<Scheduler> scheduler_;  // last: it uses the others
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_COORDINATOR_SCHEDULER_FIXTURE_H_
