// The gRPC face of an expert worker.
#ifndef TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_SERVICE_H_
#define TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_SERVICE_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/grpc/execute_stream.h"
#include "expert_worker/hosted_experts.h"
#include "proto/expert.grpc.pb.h"
#include "proto/serving/call_loop.h"

namespace tramontane {

// The largest message a worker must take: a batch, or its answer, of max_batch_rows rows.
int MaxExpertMessageBytes(const HostedExperts& experts, const ExpertExecutorOptions& options);

// Builder options for messages of rows: what Listener::StartLoop's `configure` takes.
void ConfigureExpertServer(grpc::ServerBuilder& builder);

// What peers get to stop sending and to read their answers.
inline constexpr absl::Duration kFarewellTime = absl::Seconds(3);

// Thread-safe. Outlives the server that has its methods.
class ExpertService final {
 public:
  // `experts` and `executor` outlive the service; `options` are the executor's.
  ExpertService(const HostedExperts* experts, ExpertExecutor* executor,
                const ExpertExecutorOptions& options);

  // tramontane.v1.ExpertWorker, for Listener::StartLoop.
  std::vector<LoopMethod> Methods();

  // Says so in Describe and on every stream, and waits until the peers have left, which they do
  // when they have their answers; no batch is refused meanwhile. After `farewell`, or at
  // `deadline`, lets the executor finish what it can until `deadline` and refuse the rest, and ends
  // every stream with UNAVAILABLE once its answers are written. Returns when the executor is empty.
  void Drain(absl::Time deadline, absl::Duration farewell = kFarewellTime);

 private:
  v1::DescribeResponse Describe();
  CallReactor* Execute();

  const HostedExperts* const experts_;
  ExpertExecutor* const executor_;
  const ExpertExecutorOptions options_;

  // Those that have not ended.
  std::vector<std::shared_ptr<ExecuteStream>> streams();

  std::mutex mutex_;
  std::condition_variable stream_ended_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t num_streams_ ABSL_GUARDED_BY(mutex_) = 0;  // there ever were
  std::unordered_map<ExecuteStream*, std::weak_ptr<ExecuteStream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_GRPC_EXPERT_SERVICE_H_
