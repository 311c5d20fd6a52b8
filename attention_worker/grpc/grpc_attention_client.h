// An attention worker in another process.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_ATTENTION_CLIENT_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_ATTENTION_CLIENT_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attention_worker/attention_client.h"
#include "attention_worker/grpc/attention_description.h"
#include "attention_worker/grpc/attention_exchange.h"
#include "attention_worker/grpc/backoff.h"
#include "attention_worker/grpc/stream_pump.h"
#include "attention_worker/grpc/worker_channel.h"
#include "proto/serving/tls_client.h"

namespace tramontane {

struct GrpcAttentionClientOptions {
  AttentionWorkerExpectation expected;
  uint64_t coordinator_id = 0;  // this process's own: random, not 0
  absl::Duration connect_timeout = absl::Seconds(2);
  // Without which a connection is given up: how soon a worker is noticed whose process has stopped,
  // or whose network is cut, however long its steps take.
  SignsOfLife signs_of_life = {absl::Milliseconds(400), absl::Milliseconds(1200)};
  // After which a worker that lives and does not answer is given up, and all that it was given with
  // it.
  absl::Duration answer_timeout = absl::Minutes(5);
  // The same where no step runs, so that the answer is due at once; at most answer_timeout.
  absl::Duration stepless_timeout = absl::Seconds(5);
  ReconnectOptions reconnect;
  int64_t max_message_bytes = int64_t{1} << 30;
  TlsClient tls;
  // Called from any thread, without locks, whenever readiness() may have changed. It must neither
  // block nor destroy the client.
  std::function<void()> on_change = [] {};
};

// Connects, and connects again after every loss, on a thread of its own; a worker that does not
// agree with `expected` is refused, and asked again. Driven as AttentionClient says; readiness,
// incarnation, kv_cache_usage and attempted may be asked by any thread.
class GrpcAttentionClient final : public AttentionClient {
 public:
  GrpcAttentionClient(std::string address, GrpcAttentionClientOptions options);
  // Waits for an attempt to connect that is under way.
  ~GrpcAttentionClient() override;
  GrpcAttentionClient(const GrpcAttentionClient&) = delete;
  GrpcAttentionClient& operator=(const GrpcAttentionClient&) = delete;

  const std::string& address() const { return address_; }

  absl::StatusOr<int> AddSequence(const SequenceSpec& spec) override;
  absl::StatusOr<StepResult> Step(const StepRequest& request) override;
  void EndStepsBy(absl::Time end) override;
  void ReleaseSequence(SequenceId id) override;
  // Without a connection: no blocks, of the size that is expected.
  KvCacheUsage kv_cache_usage() const override;
  absl::Status readiness() const override;
  uint64_t incarnation() const override;

  bool connected() const;
  bool draining() const;        // connected, and shutting down
  std::string backend() const;  // the kernels of the last worker that was accepted; "" before any
  bool attempted() const;       // the first attempt to connect has ended, either way

 private:
  void Loop();
  absl::StatusOr<std::shared_ptr<AttentionExchange>> Connect();
  // Null: there is no worker, because of `why`.
  void Publish(std::shared_ptr<AttentionExchange> exchange, const absl::Status& why);
  // Waits before the next attempt; false when stopping.
  bool AwaitRetry(absl::Duration delay);
  // The exchange to use now, null without one; forgets the sequences of the one before.
  std::shared_ptr<AttentionExchange> Driven();
  // Why Driven gave none: UNAVAILABLE, though by now there may be one.
  absl::Status NotDriven() const;
  // A request in which no step runs.
  absl::StatusOr<v1::AttentionAnswer> CallWithoutStep(AttentionExchange& exchange,
                                                      v1::AttentionRequest request) const;
  absl::Status NotConnected() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string address_;
  const GrpcAttentionClientOptions options_;

  // Of the driving thread: the exchange that it used last, and what the worker was given through
  // it.
  std::shared_ptr<AttentionExchange> driven_;
  std::unordered_set<SequenceId> sequences_;

  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  std::shared_ptr<AttentionExchange> exchange_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);         // why there is no exchange
  uint64_t num_exchanges_ ABSL_GUARDED_BY(mutex_) = 0;  // there ever were
  std::string backend_ ABSL_GUARDED_BY(mutex_);
  bool attempted_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time steps_end_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  StreamPump pump_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_GRPC_ATTENTION_CLIENT_H_
