// One expert worker's address, and the client to it while there is one.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_

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

namespace tramontane {

// How an expert worker is reached: ConnectExpertWorker in the product, a fake in tests.
// `on_disconnect` is called at most once, from any thread, when the client is of no more use.
using ConnectFunction = std::function<absl::StatusOr<std::shared_ptr<ExpertClient>>(
    const std::string& address, std::function<void(const absl::Status&)> on_disconnect)>;

// Connects, and connects again after every loss, on a thread of its own. Thread-safe.
class WorkerConnection {
 public:
  // `on_change` is called, without locks, from the connection's thread whenever client() or
  // status() changed; it must not destroy the connection.
  WorkerConnection(std::string address, ConnectFunction connect, std::function<void()> on_change,
                   const ReconnectOptions& options);
  // Waits for an attempt to connect that is under way.
  ~WorkerConnection();
  WorkerConnection(const WorkerConnection&) = delete;
  WorkerConnection& operator=(const WorkerConnection&) = delete;

  const std::string& address() const { return address_; }
  std::shared_ptr<ExpertClient> client() const;  // null while not connected
  absl::Status status() const;                   // OK while connected, else why not
  bool attempted() const;                        // the first attempt has ended, either way

 private:
  // Shared with clients that outlive the connection.
  struct Disconnect {
    std::mutex mutex;
    std::condition_variable condition;
    bool stopping ABSL_GUARDED_BY(mutex) = false;
    int64_t attempt ABSL_GUARDED_BY(mutex) = 0;  // whose loss counts
    bool lost ABSL_GUARDED_BY(mutex) = false;
    absl::Status reason ABSL_GUARDED_BY(mutex);
  };

  void Loop();
  absl::StatusOr<std::shared_ptr<ExpertClient>> Connect();
  void Publish(std::shared_ptr<ExpertClient> client, const absl::Status& status);
  // Waits until the connection is lost; false when stopping.
  bool AwaitLoss(absl::Status& reason);
  // Waits before the next attempt; false when stopping.
  bool AwaitRetry(absl::Duration delay);

  const std::string address_;
  const ConnectFunction connect_;
  const std::function<void()> on_change_;
  Backoff backoff_;  // thread_ only
  const std::shared_ptr<Disconnect> disconnect_;

  mutable std::mutex mutex_;
  std::shared_ptr<ExpertClient> client_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool attempted_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_CONNECTION_H_
