// The completion queue of streams to workers, and who polls it.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "attention_worker/arrival_pump.h"

namespace tramontane {

// One thread at a time polls: the one that is in Turn, or, while no thread was there for some
// milliseconds, the pump's own.
class StreamPump final : public ArrivalPump {
 public:
  // What an operation's end is told to.
  class Event {
   public:
    virtual void OnEvent(bool ok) = 0;

   protected:
    ~Event() = default;
  };

  // `spin`: for how long Turn looks for events before it sleeps.
  explicit StreamPump(absl::Duration spin = absl::ZeroDuration());
  // Waits until all streams have ended. Not from an event.
  ~StreamPump() override;
  StreamPump(const StreamPump&) = delete;
  StreamPump& operator=(const StreamPump&) = delete;

  bool Turn(absl::Time until, const std::atomic<bool>& ready) override;
  void Wake() override;

  // For streams. Between BeginStream and EndStream, events may come: one at a time, over all
  // streams.
  grpc::CompletionQueue* queue() { return &queue_; }
  // For an operation that is started next. `event` sees what was written before.
  void* Tag(Event* event);
  void BeginStream();
  void EndStream();
  // So much is being written that it may want polling before a thread comes to Turn.
  void PollSoon();

 private:
  class Kick;

  void RunOwnThread();
  // Has the pump's own thread stop to poll; false where it still does at `until`.
  bool SendOwnAway(std::unique_lock<std::mutex>& lock, absl::Time until)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The event after which Turn returns; false where there is none.
  bool Next(absl::Time until, const std::atomic<bool>& ready, void** tag, bool* ok);

  void Handle(void* tag, bool ok);

  const absl::Duration spin_;
  grpc::CompletionQueue queue_;
  // gRPC orders an operation's start and its end, but sanitizers do not see that in a library.
  std::atomic<int64_t> num_tags_{0};

  std::mutex mutex_;
  std::condition_variable changed_;                 // of anything below
  bool turning_ ABSL_GUARDED_BY(mutex_) = false;    // a thread is in Turn
  bool own_polls_ ABSL_GUARDED_BY(mutex_) = false;  // the pump's thread polls, or handles
  absl::Time left_ ABSL_GUARDED_BY(mutex_);         // when a thread was in Turn last
  int num_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_STREAM_PUMP_H_
