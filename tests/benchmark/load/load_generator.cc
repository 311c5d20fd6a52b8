#include "tests/benchmark/load/load_generator.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "coordinator/generate/inference_client.h"

namespace tramontane {
namespace {

constexpr std::chrono::seconds kReportInterval(1);

LoadClock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

LoadGenerator::LoadGenerator(const LoadOptions* options, const LoadPoint& point,
                             const RequestSource* requests, std::vector<v1::Inference::Stub*> stubs,
                             OnProgress on_progress)
    : options_(*options),
      point_(point),
      requests_(*requests),
      stubs_(std::move(stubs)),
      on_progress_(std::move(on_progress)) {}

LoadSummary LoadGenerator::Run(uint64_t& next_request, Interruption& interruption) {
  const Interruption::Listening listening(interruption, [this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  });
  started_ = LoadClock::now();
  next_report_ = started_ + kReportInterval;
  if (open_loop()) {
    // Other points have other arrivals, at the same seed too.
    arrivals_.emplace(point_.request_rate, options_.seed + next_request);
    next_arrival_ = started_ + arrivals_->Next();
  }
  while (true) {
    const PlannedRequest planned = requests_.Make(next_request);  // ready when it is due
    const std::optional<TimePoint> due = AwaitDue();
    if (!due.has_value()) break;
    Start(planned, *due, next_request);
    ++next_request;
  }
  AwaitOutstanding();
  LoadSummary summary = recorder_.Summarize(LoadClock::now());
  summary.point = point_;
  summary.peak_outstanding = peak_outstanding_;
  summary.interrupted = interruption.raised();
  return summary;
}

LoadGenerator::TimePoint LoadGenerator::NextDue(TimePoint now) {
  if (open_loop()) return next_arrival_;
  while (!resting_.empty() && resting_.front() <= now) resting_.pop_front();
  if (running_.size() + resting_.size() < static_cast<size_t>(point_.concurrency)) return now;
  return resting_.empty() ? TimePoint::max() : resting_.front();
}

std::optional<LoadGenerator::TimePoint> LoadGenerator::AwaitDue() {
  const int64_t measured = num_started_ - options_.warmup_requests;
  if (options_.num_requests > 0 && measured >= options_.num_requests) return std::nullopt;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!interrupted_) {
    const TimePoint now = LoadClock::now();
    const TimePoint due = NextDue(now);
    // An arrival of the window is sent even where the client is late.
    const bool late_arrival = open_loop() && due < window_end_;
    if (now >= window_end_ && !late_arrival) return std::nullopt;
    if (due <= now) return due;
    WaitOrReport(lock, std::min(due, window_end_));
  }
  return std::nullopt;
}

void LoadGenerator::WaitOrReport(std::unique_lock<std::mutex>& lock, TimePoint until) {
  changed_.wait_until(lock, std::min(until, next_report_));
  const TimePoint now = LoadClock::now();
  if (now < next_report_) return;
  next_report_ += kReportInterval * ((now - next_report_) / kReportInterval + 1);
  const int outstanding = static_cast<int>(running_.size());
  lock.unlock();
  on_progress_(std::chrono::duration<double>(now - started_).count(), outstanding,
               recorder_.Progress());
  lock.lock();
}

void LoadGenerator::Start(const PlannedRequest& planned, TimePoint due, uint64_t number) {
  if (num_started_++ == options_.warmup_requests) {
    if (options_.duration_s > 0) window_end_ = due + Seconds(options_.duration_s);
    recorder_.OpenWindow(due, window_end_);
  }
  if (open_loop()) {
    next_arrival_ = started_ + arrivals_->Next();
    if (RefuseBeyondLimit()) return;
  }
  const auto prompt_tokens = static_cast<uint64_t>(planned.message.prompt_token_ids_size());
  const RequestTimeline timeline = recorder_.Begin(due, LoadClock::now(), prompt_tokens);
  const auto context = std::make_shared<grpc::ClientContext>();
  ShowToken(options_.api_token, context.get());
  if (options_.deadline_s > 0) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(options_.deadline_s)));
  }
  auto* const call =
      new GenerateCall(&recorder_, context.get(), timeline, planned.cancel_after_tokens,
                       [this](GenerateCall* ended, const RequestTimeline& times,
                              const RequestEnd& end) { OnCallEnd(ended, times, end); });
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    running_.emplace(call, context);
    peak_outstanding_ = std::max(peak_outstanding_, static_cast<int>(running_.size()));
  }
  call->Start(*stubs_[number % stubs_.size()], planned.message);
}

bool LoadGenerator::RefuseBeyondLimit() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (running_.size() < static_cast<size_t>(options_.max_outstanding)) return false;
  recorder_.CountNotSent();
  return true;
}

void LoadGenerator::OnCallEnd(GenerateCall* call, const RequestTimeline& timeline, RequestEnd end) {
  const TimePoint now = LoadClock::now();
  std::shared_ptr<grpc::ClientContext> context;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    end.unfinished = cutting_ && !end.cancelled && absl::IsCancelled(end.status);
    context = std::exchange(running_[call], nullptr);
  }
  recorder_.End(timeline, end, now);
  // It holds the connection, the last of which gRPC's own threads cannot let go of: so before the
  // thread that owns it may go on.
  context.reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  running_.erase(call);
  const bool failed = !end.status.ok() && !end.cancelled;
  if (failed && !open_loop()) resting_.push_back(now + Seconds(options_.error_backoff_s));
  // Under the lock: once it is free with nothing running, this object may be gone.
  changed_.notify_all();
}

void LoadGenerator::AwaitOutstanding() {
  const TimePoint deadline = LoadClock::now() + Seconds(options_.drain_timeout_s);
  std::unique_lock<std::mutex> lock(mutex_);
  while (!running_.empty() && !interrupted_ && LoadClock::now() < deadline) {
    WaitOrReport(lock, deadline);
  }
  if (running_.empty()) return;
  lock.unlock();
  CancelOutstanding();
  lock.lock();
  // gRPC ends what was cancelled, whatever the server does.
  while (!running_.empty()) WaitOrReport(lock, TimePoint::max());
}

void LoadGenerator::CancelOutstanding() {
  std::vector<std::shared_ptr<grpc::ClientContext>> contexts;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    cutting_ = true;
    for (const auto& [call, context] : running_) {
      if (context != nullptr) contexts.push_back(context);
    }
  }
  // Outside of the lock: gRPC may end calls in this thread.
  for (const std::shared_ptr<grpc::ClientContext>& context : contexts) context->TryCancel();
}

}  // namespace tramontane
