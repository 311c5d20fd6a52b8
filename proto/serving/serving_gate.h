// Whether a process says that it is SERVING.
#ifndef TRAMONTANE_PROTO_SERVING_SERVING_GATE_H_
#define TRAMONTANE_PROTO_SERVING_SERVING_GATE_H_

#include <functional>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace tramontane {

// SERVING exactly while the process is ready and nobody has asked it to stop. Readiness may change
// before there is a listener to say so. Thread-safe.
class ServingGate {
 public:
  // `set_serving` is called with the state now and with every change, one call at a time.
  void Open(std::function<void(bool serving)> set_serving);
  // NOT_SERVING, for good; set_serving is not called any more once this has returned.
  void Close();

  // False from the beginning. Returns whether that is a change.
  bool SetReady(bool ready);

  // Now, while it is ready; else when it last was, or the infinite past.
  absl::Time last_ready() const;

 private:
  mutable std::mutex mutex_;
  std::function<void(bool)> set_serving_ ABSL_GUARDED_BY(mutex_);
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time lost_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // readiness, for the last time
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_SERVING_GATE_H_
