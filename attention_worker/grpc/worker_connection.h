// One expert worker's address, and the client to it while there is one.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/grpc/backoff.h"
#include "attention_worker/worker_state.h"

namespace tramontane {

// How an expert worker is reached: ConnectExpertWorker in the product, a fake in tests.
// `on_disconnect` is called at most once, from any thread, when the client is of no more use for
// new work: its stream has ended, or its worker says that it shuts down (IsDraining).
using ConnectFunction = std::function<absl::StatusOr<std::shared_ptr<ExpertClient>>(
    const std::string& address, std::function<void(const absl::Status&)> on_disconnect)>;

// Asks a worker something whose answer is known. `wrong_answers`: how often this worker has
// answered wrongly, so that another expert is asked each time. OK; FAILED_PRECONDITION for a wrong
// answer, saying what was expected; else why there was none. Blocks, with a deadline of its own.
using ProbeFunction =
    std::function<absl::Status(const std::shared_ptr<ExpertClient>& client, int wrong_answers)>;

// A moment's picture of one worker.
struct WorkerSnapshot {
  std::string address;
  WorkerState state = WorkerState::kConnecting;
  absl::Time since;          // of the state
  absl::Status last_error;   // OK: none so far
  absl::Time last_error_at;  // likewise
  int64_t num_set_aside = 0;
  int64_t num_probe_failures = 0;
  int64_t num_returns = 0;                                     // to serving, after either
  std::shared_ptr<ExpertClient> client;                        // null unless serving
  std::shared_ptr<const ExpertWorkerDescription> description;  // the last one; null: none yet
};

// Connects, probes, and does so again after every loss, on a thread of its own. Thread-safe.
class WorkerConnection {
 public:
  // `probe` may be null. `on_change` is called, without locks, from the connection's thread
  // whenever the snapshot has changed; it must not destroy the connection.
  WorkerConnection(std::string address, ConnectFunction connect, ProbeFunction probe,
                   std::function<void()> on_change, const WorkerReturnOptions& options);
  // Waits for an attempt to connect that is under way.
  ~WorkerConnection();
  WorkerConnection(const WorkerConnection&) = delete;
  WorkerConnection& operator=(const WorkerConnection&) = delete;

  const std::string& address() const { return address_; }
  std::shared_ptr<ExpertClient> client() const;  // null while not serving
  WorkerSnapshot snapshot() const;
  bool attempted() const;  // the first attempt has ended, either way

  // Takes `client` out of service at once; false where it is not the one that serves. A new
  // connection is opened after a delay.
  bool SetAside(const std::shared_ptr<ExpertClient>& client, const absl::Status& reason);

  // Where the worker was set aside, and the next attempt would be late: nobody else serves what it
  // hosts, so it is tried as soon, and as often, as one whose connection broke.
  void Hurry();

  // Ends the thread soon, without waiting; its client serves no more.
  void Stop();
  bool stopped() const { return stopped_; }  // the destructor does not wait

 private:
  // Shared with clients that outlive the connection.
  struct Disconnect {
    std::mutex mutex;
    std::condition_variable condition;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    int64_t attempt ABSL_GUARDED_BY(mutex) = 0;  // whose loss counts
    bool lost ABSL_GUARDED_BY(mutex) = false;
    bool aside ABSL_GUARDED_BY(mutex) = false;  // lost because it was set aside
    bool hurry ABSL_GUARDED_BY(mutex) = false;  // the next attempt
    absl::Status reason ABSL_GUARDED_BY(mutex);
  };

  void Loop();
  absl::StatusOr<std::shared_ptr<ExpertClient>> Connect();
  // Serves with `client` until it is lost. The delay before the next attempt; false when stopping.
  bool Serve(std::shared_ptr<ExpertClient> client, absl::Duration& delay);
  // Logs a failure that is another one than the last.
  void LogFailure(const absl::Status& status);
  // The delay before the attempt after one that failed with `status`.
  absl::Duration NoteFailure(const absl::Status& status);
  // The same where the worker does not pass its probe.
  absl::Duration NoteProbeFailure(const absl::Status& status);
  void SetState(WorkerState state, std::shared_ptr<ExpertClient> client,
                const absl::Status& status);
  // Waits until the client is lost. OK: stopping. `aside`: whether it was set aside.
  absl::Status AwaitLoss(bool& aside);
  // Waits before the next attempt; false when stopping.
  bool AwaitRetry(absl::Duration delay);

  const std::string address_;
  const ConnectFunction connect_;
  const ProbeFunction probe_;
  const std::function<void()> on_change_;
  const absl::Duration good_time_;
  // Of thread_ only.
  Backoff reconnect_;
  Backoff set_aside_;
  int wrong_answers_ = 0;
  std::string last_failure_;  // said once, not at every attempt

  const std::shared_ptr<Disconnect> disconnect_;
  std::atomic<bool> stopped_{false};

  mutable std::mutex mutex_;
  WorkerSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
  int64_t failures_at_return_ ABSL_GUARDED_BY(mutex_) = 0;
  bool attempted_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_
