// The one thread that drives the attention worker of a process of its own.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_STEP_THREAD_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_STEP_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// Carries tasks out in the order in which they were posted, so that gRPC's threads never wait for a
// step. Whoever posts bounds how many wait: a stream is read no further than its limit.
// Thread-safe.
class StepThread {
 public:
  StepThread();
  // Carries out what was posted.
  ~StepThread();
  StepThread(const StepThread&) = delete;
  StepThread& operator=(const StepThread&) = delete;

  void Post(std::function<void()> task);

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_STEP_THREAD_H_
