#include "tests/benchmark/load/load_recorder.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace tramontane {
namespace {

using TimePoint = LoadClock::time_point;

TimePoint At(int ms) { return TimePoint() + std::chrono::milliseconds(ms); }

RequestEnd Ended(absl::Status status) {
  RequestEnd end;
  end.status = std::move(status);
  return end;
}

RequestEnd Finished(uint64_t prompt_tokens, uint64_t output_tokens) {
  RequestEnd end;
  end.usage_prompt_tokens = prompt_tokens;
  end.usage_output_tokens = output_tokens;
  end.queue_ms = 2;
  return end;
}

TEST(LoadRecorderTest, LatenciesCountFromTheScheduledArrival) {
  LoadRecorder recorder;
  recorder.OpenWindow(At(0), At(1000));
  RequestTimeline request = recorder.Begin(At(0), At(10), 7);
  recorder.AddTokens(request, 1, At(50));
  recorder.AddTokens(request, 1, At(80));
  recorder.AddTokens(request, 1, At(90));
  recorder.End(request, Finished(7, 3), At(95));
  const LoadSummary summary = recorder.Summarize(At(500));
  EXPECT_DOUBLE_EQ(summary.send_lag.max_ms, 10);
  EXPECT_DOUBLE_EQ(summary.ttft.max_ms, 50);
  EXPECT_EQ(summary.itl.count, 2);
  EXPECT_DOUBLE_EQ(summary.itl.min_ms, 10);
  EXPECT_DOUBLE_EQ(summary.itl.max_ms, 30);
  EXPECT_DOUBLE_EQ(summary.tpot.max_ms, 20);
  EXPECT_DOUBLE_EQ(summary.e2e.max_ms, 95);
  EXPECT_DOUBLE_EQ(summary.queue.max_ms, 2);
  EXPECT_EQ(summary.requests.ok, 1);
  EXPECT_EQ(summary.requests.wrong_usage, 0);
}

TEST(LoadRecorderTest, TokensOfOneMessageHaveNoTimeBetweenThem) {
  LoadRecorder recorder;
  recorder.OpenWindow(At(0), At(1000));
  RequestTimeline request = recorder.Begin(At(0), At(0), 1);
  recorder.AddTokens(request, 2, At(10));
  recorder.AddTokens(request, 3, At(30));
  const LoadSummary summary = recorder.Summarize(At(1000));
  EXPECT_EQ(summary.itl.count, 4);
  EXPECT_DOUBLE_EQ(summary.itl.max_ms, 20);
  EXPECT_DOUBLE_EQ(summary.itl.mean_ms, 5);
  EXPECT_EQ(summary.messages_with_tokens, 2);
}

TEST(LoadRecorderTest, ThroughputIsWhatHappensInTheWindowWhoeverBeganBefore) {
  LoadRecorder recorder;
  RequestTimeline warmup = recorder.Begin(At(0), At(0), 5);
  recorder.AddTokens(warmup, 1, At(90));
  recorder.OpenWindow(At(100), At(200));
  RequestTimeline measured = recorder.Begin(At(100), At(100), 6);
  recorder.AddTokens(warmup, 1, At(110));
  recorder.AddTokens(measured, 2, At(120));
  recorder.End(warmup, Finished(5, 2), At(130));
  recorder.AddTokens(measured, 4, At(200));
  recorder.End(measured, Finished(6, 6), At(210));
  const LoadSummary summary = recorder.Summarize(At(210));
  EXPECT_DOUBLE_EQ(summary.window_s, 0.1);
  EXPECT_EQ(summary.window_output_tokens, 3);
  EXPECT_EQ(summary.window_prompt_tokens, 6);
  EXPECT_EQ(summary.window_requests, 1);
  EXPECT_EQ(summary.warmup_requests, 1);
  EXPECT_EQ(summary.requests.started, 1);
  EXPECT_EQ(summary.output_tokens, 6);
  EXPECT_EQ(summary.prompt_tokens, 6);
  EXPECT_EQ(summary.ttft.count, 1);
}

TEST(LoadRecorderTest, EveryRequestIsCountedOnce) {
  LoadRecorder recorder;
  recorder.OpenWindow(At(0), TimePoint::max());
  for (int i = 0; i < 6; ++i) recorder.Begin(At(0), At(0), 1);
  const RequestTimeline request = [] {
    RequestTimeline timeline;
    timeline.measured = true;
    timeline.prompt_tokens = 1;
    return timeline;
  }();
  recorder.End(request, Finished(1, 0), At(5));
  recorder.End(request, Ended(absl::ResourceExhaustedError("full")), At(5));
  recorder.End(request, Ended(absl::ResourceExhaustedError("still full")), At(5));
  recorder.End(request, Ended(absl::UnavailableError("gone")), At(5));
  RequestEnd cancelled = Ended(absl::CancelledError());
  cancelled.cancelled = true;
  recorder.End(request, cancelled, At(5));
  RequestEnd unfinished = Ended(absl::CancelledError());
  unfinished.unfinished = true;
  recorder.End(request, unfinished, At(5));
  recorder.CountNotSent();

  const LoadSummary summary = recorder.Summarize(At(10));
  EXPECT_EQ(summary.requests.started, 6);
  EXPECT_EQ(summary.requests.ok, 1);
  EXPECT_EQ(summary.requests.failed, 3);
  EXPECT_EQ(summary.requests.cancelled, 1);
  EXPECT_EQ(summary.requests.unfinished, 1);
  EXPECT_EQ(summary.requests.not_sent, 1);
  EXPECT_EQ(summary.errors.size(), 2);
  EXPECT_EQ(summary.errors.at("RESOURCE_EXHAUSTED").count, 2);
  EXPECT_EQ(summary.errors.at("RESOURCE_EXHAUSTED").example, "full");
  EXPECT_EQ(summary.e2e.count, 1);
  EXPECT_DOUBLE_EQ(summary.window_s, 0.01);
}

TEST(LoadRecorderTest, UsageOtherThanWhatWasSentAndReceivedIsCounted) {
  LoadRecorder recorder;
  recorder.OpenWindow(At(0), At(1000));
  RequestTimeline request = recorder.Begin(At(0), At(0), 3);
  recorder.AddTokens(request, 2, At(10));
  recorder.End(request, Finished(3, 1), At(11));
  recorder.End(request, Finished(4, 2), At(11));
  recorder.End(request, Finished(3, 2), At(11));
  EXPECT_EQ(recorder.Summarize(At(20)).requests.wrong_usage, 2);
}

TEST(LoadRecorderTest, ProgressCountsTheWarmUpToo) {
  LoadRecorder recorder;
  RequestTimeline request = recorder.Begin(At(0), At(0), 3);
  recorder.AddTokens(request, 2, At(10));
  recorder.End(request, Ended(absl::InternalError("broken")), At(11));
  const LoadProgress progress = recorder.Progress();
  EXPECT_EQ(progress.started, 1);
  EXPECT_EQ(progress.ended, 1);
  EXPECT_EQ(progress.failed, 1);
  EXPECT_EQ(progress.output_tokens, 2);
  EXPECT_EQ(recorder.Summarize(At(20)).requests.failed, 0);
}

}  // namespace
}  // namespace tramontane
