// Looks the addresses of workers up on a thread of its own: a name server may take its time, and
// workers that are lost or come back meanwhile have none.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
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

  // `on_found` is called from the thread of lookups, without its locks, when there is something to
  // take.
  WorkerLookups(WorkerAddressOptions options, std::function<void()> on_found);
  // Waits for a lookup that is under way, but not for long: where the system's resolver does not
  // return, its thread goes on alone, and ends once it does. `resolve` may outlive this, so.
  ~WorkerLookups();
  WorkerLookups(const WorkerLookups&) = delete;
  WorkerLookups& operator=(const WorkerLookups&) = delete;

  // What is known now; nullopt where nothing was looked up since it was taken last.
  std::optional<Found> Take();
  // Waits for the first lookup, as long as the system's resolver takes; called before Take, once.
  Found TakeFirst();

 private:
  // Of the thread, too, which may outlive this.
  struct State {
    // False where nothing is to be resolved any more.
    bool SetResolving(bool value);

    std::mutex telling;  // held while on_found is called; before mutex
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Found> found ABSL_GUARDED_BY(mutex);
    bool resolving ABSL_GUARDED_BY(mutex) = false;  // the thread waits for a name server
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    bool done ABSL_GUARDED_BY(mutex) = false;
  };

  static void Run(State& state, WorkerAddresses& addresses, const std::function<void()>& on_found);
  static void Tell(State& state, const WorkerAddresses& addresses,
                   const std::function<void()>& on_found);

  const std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_LOOKUPS_H_
