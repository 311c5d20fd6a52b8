// The coordinator of the bundled model in this process, on a free loopback port.
#ifndef TRAMONTANE_TESTS_COORDINATOR_GRPC_DEMO_SERVER_H_
#define TRAMONTANE_TESTS_COORDINATOR_GRPC_DEMO_SERVER_H_

#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/grpc/in_process_expert_client.h"
#include "coordinator/grpc/coordinator_metrics.h"
#include "coordinator/grpc/inference_service.h"
#include "coordinator/scheduler.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/backend.h"
#include "proto/inference.grpc.pb.h"
#include "proto/serving/listener.h"
#include "proto/serving/task_thread.h"

namespace tramontane {

// Experts in process, f32. Starts in the constructor.
class DemoServer {
 public:
  // `access` (null: everybody may call) outlives the server.
  explicit DemoServer(SchedulerOptions options = {}, ApiAccess* access = nullptr);
  ~DemoServer();

  std::unique_ptr<v1::Inference::Stub> NewStub() const;
  Scheduler& scheduler() { return *scheduler_; }
  TaskThread& reading() { return reading_; }
  prometheus::Registry& registry() { return *registry_; }
  const std::string& address() const { return listener_->address(); }
  // What Generate asks before it accepts; set before the first call.
  void set_readiness(absl::Status status) { readiness_ = std::move(status); }

 private:
  ServedModel model_;
  absl::Status readiness_;
  const std::shared_ptr<prometheus::Registry> registry_;
  std::unique_ptr<CoordinatorMetrics> metrics_;
  SecurityMetrics security_metrics_;
  StepObserver step_observer_;
  TaskThread delivery_, reading_;
  std::unique_ptr<Backend> expert_backend_, attention_backend_;
  std::unique_ptr<HostedExperts> experts_;
  std::unique_ptr<FixedExpertDirectory> directory_;
  std::unique_ptr<AttentionWorker> attention_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<InferenceService> service_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_COORDINATOR_GRPC_DEMO_SERVER_H_
