// Turns what happens to requests into a LoadSummary.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_RECORDER_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_RECORDER_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "tests/benchmark/load/latency_histogram.h"
#include "tests/benchmark/load/load_summary.h"

namespace tramontane {

// The monotonic clock of all latencies.
using LoadClock = std::chrono::steady_clock;

// Times of one request. Written by LoadRecorder only.
struct RequestTimeline {
  bool measured = false;            // begun in the window
  LoadClock::time_point scheduled;  // when it arrived: latencies count from here
  LoadClock::time_point first_token;
  LoadClock::time_point last_token;
  uint64_t prompt_tokens = 0;  // sent
  uint64_t output_tokens = 0;  // received
};

// How a request ended.
struct RequestEnd {
  absl::Status status;
  bool cancelled = false;   // by us, as its plan says
  bool unfinished = false;  // cut off by us
  // What the last message says, of an OK stream.
  uint64_t usage_prompt_tokens = 0;
  uint64_t usage_output_tokens = 0;
  double queue_ms = 0;
};

// Thread-safe; one timeline is passed by one thread at a time. Memory does not grow with requests.
class LoadRecorder {
 public:
  using TimePoint = LoadClock::time_point;

  // What comes from `start` on, and before `end`, counts for throughput; requests begun after this
  // call are measured. Without this call nothing is.
  void OpenWindow(TimePoint start, TimePoint end);

  // A request that was scheduled for `scheduled` and is sent at `sent`.
  RequestTimeline Begin(TimePoint scheduled, TimePoint sent, uint64_t prompt_tokens);
  // An arrival that was not sent.
  void CountNotSent();
  // `count` tokens, at least 1, came in one message.
  void AddTokens(RequestTimeline& timeline, uint64_t count, TimePoint now);
  void End(const RequestTimeline& timeline, const RequestEnd& end, TimePoint now);

  LoadProgress Progress() const;
  // Closes the window at `now` where it is still open.
  LoadSummary Summarize(TimePoint now) const;

 private:
  struct Window {
    bool open = false;
    TimePoint start;
    TimePoint end;
    bool Contains(TimePoint now) const { return open && now >= start && now < end; }
  };

  void EndOk(const RequestTimeline& timeline, const RequestEnd& end, TimePoint now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable std::mutex mutex_;
  Window window_ ABSL_GUARDED_BY(mutex_);
  LoadProgress progress_ ABSL_GUARDED_BY(mutex_);  // its counts
  LoadSummary counted_ ABSL_GUARDED_BY(mutex_);    // its counts
  LatencyHistogram ttft_ ABSL_GUARDED_BY(mutex_);
  LatencyHistogram itl_ ABSL_GUARDED_BY(mutex_);
  LatencyHistogram tpot_ ABSL_GUARDED_BY(mutex_);
  LatencyHistogram e2e_ ABSL_GUARDED_BY(mutex_);
  LatencyHistogram queue_ ABSL_GUARDED_BY(mutex_);
  LatencyHistogram send_lag_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_RECORDER_H_
