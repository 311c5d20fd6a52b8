// The thread that hands new tokens to gRPC, so that the step thread does not.
#ifndef TRAMONTANE_COORDINATOR_GRPC_DELIVERY_THREAD_H_
#define TRAMONTANE_COORDINATOR_GRPC_DELIVERY_THREAD_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// Runs short tasks in the order they come, which must not wait. Thread-safe. The queue is as long
// as there are streams: each has at most one task in it.
class DeliveryThread {
 public:
  DeliveryThread();
  // Runs what is queued, then stops. Nothing may Post any more.
  ~DeliveryThread();
  DeliveryThread(const DeliveryThread&) = delete;
  DeliveryThread& operator=(const DeliveryThread&) = delete;

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

#endif  // TRAMONTANE_COORDINATOR_GRPC_DELIVERY_THREAD_H_
