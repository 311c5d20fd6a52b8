#include "tests/coordinator/grpc/demo_server.h"

#include <grpcpp/grpcpp.h>

#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "expert_worker/expert_set.h"
#include "model/check.h"
#include "tests/coordinator/demo_model.h"

namespace tramontane {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  TRAMONTANE_CHECK(value.ok());
  return *std::move(value);
}

std::unique_ptr<Backend> NewBackend() {
  CpuBackendOptions options;
  options.compute_dtype = DType::kF32;
  options.num_threads = 1;
  return OrDie(CreateCpuBackend(options));
}

}  // namespace

DemoServer::DemoServer(SchedulerOptions options, ApiAccess* access)
    : model_(DemoServedModel()),
      registry_(std::make_shared<prometheus::Registry>()),
      metrics_(std::make_unique<CoordinatorMetrics>(registry_)),
      security_metrics_(registry_),
      expert_backend_(NewBackend()),
      attention_backend_(NewBackend()) {
  const MixtralConfig& config = model_.config;
  experts_ = OrDie(HostedExperts::Load(
      DemoCheckpoint(), OrDie(ExpertSet::Parse("all", config.num_layers, config.num_experts)),
      expert_backend_.get()));
  const std::vector<std::shared_ptr<ExpertClient>> clients = {
      std::make_shared<InProcessExpertClient>(experts_.get(), ExpertExecutorOptions())};
  directory_ = std::make_unique<FixedExpertDirectory>(
      BuildPlacement(config.num_layers, config.num_experts, clients));
  AttentionWorkerOptions attention_options;
  attention_options.max_step_tokens = options.max_step_tokens;
  attention_ = OrDie(AttentionWorker::Create(DemoCheckpoint(), attention_backend_.get(),
                                             directory_.get(), &step_observer_, attention_options));
  scheduler_ = std::make_unique<Scheduler>(std::vector<AttentionClient*>{attention_.get()},
                                           model_.tokenizer.get(), metrics_.get(), options);
  scheduler_->Start();
  InferenceService::Dependencies dependencies;
  dependencies.model = &model_;
  dependencies.scheduler = scheduler_.get();
  dependencies.delivery = &delivery_;
  dependencies.reading = &reading_;
  dependencies.metrics = metrics_.get();
  dependencies.readiness = [this] { return readiness_; };
  dependencies.access = access;
  dependencies.security_metrics = &security_metrics_;
  service_ = std::make_unique<InferenceService>(dependencies);
  ListenerOptions listener_options;
  listener_options.address = "127.0.0.1:0";
  listener_ = OrDie(Listener::Start(listener_options, service_.get()));
}

DemoServer::~DemoServer() { listener_->Shutdown(absl::Now()); }

std::unique_ptr<v1::Inference::Stub> DemoServer::NewStub() const {
  return v1::Inference::NewStub(grpc::CreateChannel(address(), grpc::InsecureChannelCredentials()));
}

}  // namespace tramontane
