// The completion queue of streams to workers, and who polls it.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "attention_worker/arrival_pump.h"
#include "proto/serving/queue_events.h"

namespace tramontane {

// gRPC's callbacks would come from threads of its own, each of which takes tens of microseconds to
// wake up, twice a layer: a third of what a hop costs (docs/benchmarks.md, "Waiting awake").
//
// One thread at a time polls: the one that is in Turn; while no thread was there for some
// milliseconds, or where a stream wishes it, the pump's own. Thread-safe.
class StreamPump final : public ArrivalPump {
 public:
  // Is told by one thread at a time, whatever the stream.
  using Event = QueueEvent;

  // `spin`: for how long Turn looks for events before it sleeps; zero: it sleeps at once.
  explicit StreamPump(absl::Duration spin = absl::ZeroDuration());
  // Waits until all streams have ended. Not from an event.
  ~StreamPump() override;
  StreamPump(const StreamPump&) = delete;
  StreamPump& operator=(const StreamPump&) = delete;

  bool Turn(absl::Time until, const std::atomic<bool>& ready) override;
  void Wake() override;

  // For streams. Operations start and end between BeginStream and EndStream.
  grpc::CompletionQueue* queue() { return &queue_; }
  void BeginStream();
  void EndStream();
  void* Tag(Event* event) { return tags_.Tag(event); }
  // From an event: `event` is handled as well, by whoever polls next, before it does so. For what
  // can wait until the thread whose turn it is has done what it waits for.
  void BeforeNextPoll(Event* event) { before_next_poll_.push_back(event); }
  // While there are more of the former, the pump's own thread polls as soon as no other does.
  void BeginWish();
  void EndWish();

 private:
  class Kick;

  void RunOwnThread();
  bool OwnShallPoll() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Has the pump's own thread stop to poll; false where it still does at `until`.
  bool SendOwnAway(std::unique_lock<std::mutex>& lock, absl::Time until)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The event after which Turn returns; false where there is none.
  bool Next(absl::Time until, const std::atomic<bool>& ready, void** tag, bool* ok);
  void HandleBeforePoll();

  const absl::Duration spin_;
  grpc::CompletionQueue queue_;
  QueueTags tags_;
  std::vector<Event*> before_next_poll_, handling_;  // the polling thread's

  std::mutex mutex_;
  std::condition_variable changed_;                 // of anything below
  bool turning_ ABSL_GUARDED_BY(mutex_) = false;    // a thread is in Turn
  bool own_polls_ ABSL_GUARDED_BY(mutex_) = false;  // the pump's thread polls, or handles
  std::chrono::steady_clock::time_point left_ ABSL_GUARDED_BY(mutex_);  // when the last turn ended
  int num_wishes_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_
