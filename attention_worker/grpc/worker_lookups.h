// Looks the addresses of workers up on a thread of its own: a name server may take its time, and
// workers that are lost or come back meanwhile have none.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "attention_worker/grpc/worker_addresses.h"

namespace tramontane {

// Keeps WorkerAddresses up to date. Thread-safe.
class WorkerLookups {
 public:
  struct Found {
    std::set<std::string> addresses;
    std::map<std::string, std::string> unresolved;  // by target: why
  };

  // `on_found` is called from the thread of lookups, without locks, when there is something to
  // take.
  WorkerLookups(WorkerAddressOptions options, std::function<void()> on_found);
  // Waits for a lookup that is under way.
  ~WorkerLookups();
  WorkerLookups(const WorkerLookups&) = delete;
  WorkerLookups& operator=(const WorkerLookups&) = delete;

  // What is known now; nullopt where nothing was looked up since it was taken last.
  std::optional<Found> Take();
  // Waits for the first lookup, as long as the system's resolver takes; called before Take, once.
  Found TakeFirst();

 private:
  void Loop();

  const std::function<void()> on_found_;
  WorkerAddresses addresses_;  // thread_ only

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Found> found_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_
