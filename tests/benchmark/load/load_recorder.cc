#include "tests/benchmark/load/load_recorder.h"

#include <algorithm>

namespace tramontane {
namespace {

double Milliseconds(std::chrono::nanoseconds latency) {
  return static_cast<double>(latency.count()) / 1e6;
}

}  // namespace

void LoadRecorder::OpenWindow(TimePoint start, TimePoint end) {
  const std::lock_guard<std::mutex> lock(mutex_);
  window_ = {true, start, end};
}

RequestTimeline LoadRecorder::Begin(TimePoint scheduled, TimePoint sent, uint64_t prompt_tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  RequestTimeline timeline;
  timeline.measured = window_.open;
  timeline.scheduled = scheduled;
  timeline.prompt_tokens = prompt_tokens;
  ++progress_.started;
  if (!timeline.measured) {
    ++counted_.warmup_requests;
    return timeline;
  }
  ++counted_.requests.started;
  counted_.prompt_tokens += prompt_tokens;
  send_lag_.Add(sent - scheduled);
  return timeline;
}

void LoadRecorder::CountNotSent() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++progress_.not_sent;
  if (window_.open) ++counted_.requests.not_sent;
}

void LoadRecorder::AddTokens(RequestTimeline& timeline, uint64_t count, TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  progress_.output_tokens += count;
  const bool first = timeline.output_tokens == 0;
  if (window_.Contains(now)) {
    counted_.window_output_tokens += count;
    if (first) counted_.window_prompt_tokens += timeline.prompt_tokens;
  }
  if (timeline.measured) {
    counted_.output_tokens += count;
    ++counted_.messages_with_tokens;
    if (first) {
      ttft_.Add(now - timeline.scheduled);
    } else {
      itl_.Add(now - timeline.last_token);
    }
    itl_.Add(std::chrono::nanoseconds(0), count - 1);
  }
  if (first) timeline.first_token = now;
  timeline.last_token = now;
  timeline.output_tokens += count;
}

void LoadRecorder::EndOk(const RequestTimeline& timeline, const RequestEnd& end, TimePoint now) {
  ++counted_.requests.ok;
  if (end.usage_prompt_tokens != timeline.prompt_tokens ||
      end.usage_output_tokens != timeline.output_tokens) {
    ++counted_.requests.wrong_usage;
  }
  e2e_.Add(now - timeline.scheduled);
  queue_.Add(std::chrono::nanoseconds(static_cast<int64_t>(end.queue_ms * 1e6)));
  if (timeline.output_tokens > 1) {
    tpot_.Add((timeline.last_token - timeline.first_token) /
              static_cast<int64_t>(timeline.output_tokens - 1));
  }
}

void LoadRecorder::End(const RequestTimeline& timeline, const RequestEnd& end, TimePoint now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool failed = !end.status.ok() && !end.cancelled && !end.unfinished;
  ++progress_.ended;
  if (failed) ++progress_.failed;
  if (end.status.ok() && window_.Contains(now)) ++counted_.window_requests;
  if (!timeline.measured) return;
  if (end.status.ok()) {
    EndOk(timeline, end, now);
  } else if (end.cancelled) {
    ++counted_.requests.cancelled;
  } else if (end.unfinished) {
    ++counted_.requests.unfinished;
  } else {
    ++counted_.requests.failed;
    StatusCount& error = counted_.errors[absl::StatusCodeToString(end.status.code())];
    if (error.count++ == 0) error.example = std::string(end.status.message());
  }
}

LoadProgress LoadRecorder::Progress() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  LoadProgress progress = progress_;
  progress.ttft_p50_ms = Milliseconds(ttft_.Percentile(0.50));
  progress.itl_p50_ms = Milliseconds(itl_.Percentile(0.50));
  progress.itl_p99_ms = Milliseconds(itl_.Percentile(0.99));
  return progress;
}

LoadSummary LoadRecorder::Summarize(TimePoint now) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  LoadSummary summary = counted_;
  if (window_.open) {
    const TimePoint end = std::min(now, window_.end);
    summary.window_s = std::max(0.0, std::chrono::duration<double>(end - window_.start).count());
  }
  summary.ttft = ttft_.Summarize();
  summary.itl = itl_.Summarize();
  summary.tpot = tpot_.Summarize();
  summary.e2e = e2e_.Summarize();
  summary.queue = queue_.Summarize();
  summary.send_lag = send_lag_.Summarize();
  return summary;
}

}  // namespace tramontane
