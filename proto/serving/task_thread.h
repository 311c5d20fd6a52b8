// A thread for work that must not wait on threads that poll, or that those must not wait for.
#ifndef TRAMONTANE_PROTO_SERVING_TASK_THREAD_H_
#define TRAMONTANE_PROTO_SERVING_TASK_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// Runs tasks in the order in which they are posted. Thread-safe. Whoever posts bounds how many
// wait.
class TaskThread {
 public:
  TaskThread();
  // Runs what is queued, then stops. Nothing may Post any more.
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  void Post(std::function<void()> task);

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_TASK_THREAD_H_
