// Puts one load on a coordinator and measures it.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_GENERATOR_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_GENERATOR_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "proto/inference.grpc.pb.h"
#include "tests/benchmark/load/generate_call.h"
#include "tests/benchmark/load/interruption.h"
#include "tests/benchmark/load/load_options.h"
#include "tests/benchmark/load/load_recorder.h"
#include "tests/benchmark/load/load_summary.h"
#include "tests/benchmark/load/poisson_arrivals.h"
#include "tests/benchmark/load/request_source.h"

namespace tramontane {

// Runs one load point. One thread, the caller's, starts requests; gRPC's threads read their
// streams. Everything it points to outlives it.
class LoadGenerator {
 public:
  // Told about once a second, in the thread that calls Run.
  using OnProgress =
      std::function<void(double elapsed_s, int outstanding, const LoadProgress& progress)>;

  LoadGenerator(const LoadOptions* options, const LoadPoint& point, const RequestSource* requests,
                std::vector<v1::Inference::Stub*> stubs, OnProgress on_progress);

  // Starts requests until the point's end or the interruption, and waits until all have ended.
  // Makes them from number `next_request` on, and moves that past those that it made.
  LoadSummary Run(uint64_t& next_request, Interruption& interruption);

 private:
  using TimePoint = LoadClock::time_point;

  bool open_loop() const { return point_.request_rate > 0; }
  // Waits until the next request is due. Yields when it was (closed loop: is) due; nothing where no
  // more are to be started.
  std::optional<TimePoint> AwaitDue();
  // When the next may start: `now` or later; TimePoint::max() where an end must come first.
  TimePoint NextDue(TimePoint now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for a change, at most until `until` or the next progress report, which it makes.
  void WaitOrReport(std::unique_lock<std::mutex>& lock, TimePoint until);
  void Start(const PlannedRequest& planned, TimePoint due, uint64_t number);
  // Where a limit allows no further request, moves on and counts it as not sent.
  bool RefuseBeyondLimit();
  void OnCallEnd(GenerateCall* call, const RequestTimeline& timeline, RequestEnd end);
  void AwaitOutstanding();
  void CancelOutstanding();

  const LoadOptions& options_;
  const LoadPoint point_;
  const RequestSource& requests_;
  const std::vector<v1::Inference::Stub*> stubs_;
  const OnProgress on_progress_;
  LoadRecorder recorder_;

  // Of the thread that calls Run.
  TimePoint started_;
  TimePoint next_report_;
  TimePoint window_end_ = TimePoint::max();
  std::optional<PoissonArrivals> arrivals_;
  TimePoint next_arrival_;
  int64_t num_started_ = 0;  // or not sent, for the limit
  int peak_outstanding_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool cutting_ ABSL_GUARDED_BY(mutex_) = false;  // what ends as cancelled now was cut off by us
  // Calls that have not ended, and what they are cancelled with; null while that is let go of.
  std::unordered_map<GenerateCall*, std::shared_ptr<grpc::ClientContext>> running_
      ABSL_GUARDED_BY(mutex_);
  std::deque<TimePoint> resting_
      ABSL_GUARDED_BY(mutex_);  // places whose request failed, until when
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_LOAD_GENERATOR_H_
