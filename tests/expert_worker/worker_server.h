// An expert worker on a loopback port of this process, with a gate on its computation.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_WORKER_SERVER_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_WORKER_SERVER_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/grpc/expert_service.h"
#include "expert_worker/hosted_experts.h"
#include "proto/serving/listener.h"
#include "tests/expert_worker/fixtures.h"
#include "tests/expert_worker/gated_backend.h"

namespace tramontane {

class WorkerServer {
 public:
  explicit WorkerServer(DType dtype, const ExpertExecutorOptions& options = {},
                        ExpertObserver* observer = nullptr)
      : backend_(dtype),
        experts_(LoadGolden("tiny_f32", "0-3", &backend_)),
        executor_(experts_.get(), observer, options),
        service_(experts_.get(), &executor_, options) {
    ListenerOptions listener_options;
    listener_options.address = "127.0.0.1:0";
    listener_options.max_message_bytes = MaxExpertMessageBytes(*experts_, options);
    auto listener = Listener::StartLoop(listener_options, service_.Methods(), absl::ZeroDuration(),
                                        ConfigureExpertServer);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    address_ = listener_->address();
  }
  // Whatever waits at the gate goes through, so that the executor can end.
  ~WorkerServer() {
    backend_.Open();
    Kill();
  }

  // Breaks every connection at once; what is queued stays queued.
  void Kill() {
    if (listener_ != nullptr) listener_->Shutdown(absl::Now());
    listener_.reset();
  }

  const std::string& address() const { return address_; }
  GatedBackend& backend() { return backend_; }
  const HostedExperts& experts() const { return *experts_; }
  ExpertExecutor& executor() { return executor_; }
  ExpertService& service() { return service_; }

 private:
  GatedBackend backend_;
  const std::unique_ptr<HostedExperts> experts_;
  ExpertExecutor executor_;
  ExpertService service_;
  std::unique_ptr<Listener> listener_;
  std::string address_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_WORKER_SERVER_H_
