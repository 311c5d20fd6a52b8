// Experts in the coordinator's own process (--experts_in_process).
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_IN_PROCESS_EXPERT_CLIENT_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_IN_PROCESS_EXPERT_CLIENT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/expert_client.h"
#include "attention_worker/expert_directory.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/hosted_experts.h"

namespace tramontane {

// An expert worker without a wire: the same executor, the same checks, the same bits. Thread-safe.
class InProcessExpertClient : public ExpertClient {
 public:
  // `experts` outlive the client. Their backend computes on the executor's thread, so it is not the
  // one that attention runs on.
  InProcessExpertClient(const HostedExperts* experts, const ExpertExecutorOptions& options);

  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  void Execute(ExpertBatch batch, Done done) override;

 private:
  const std::string address_ = "in-process";
  const ExpertWorkerDescription description_;
  ExpertExecutor executor_;
};

// A placement of experts in this process, which nobody can do without: it never changes. What its
// clients answer wrongly stays an error of the request. Thread-safe.
class FixedExpertDirectory : public ExpertDirectory {
 public:
  explicit FixedExpertDirectory(std::shared_ptr<const ExpertPlacement> placement)
      : placement_(std::move(placement)) {}
  std::shared_ptr<const ExpertPlacement> placement() const override { return placement_; }
  // Returns at once: waiting would change nothing.
  std::shared_ptr<const ExpertPlacement> AwaitChange(
      const std::shared_ptr<const ExpertPlacement>& /*seen*/,
      absl::Time /*deadline*/) const override {
    return placement_;
  }
  void SetAside(const std::shared_ptr<ExpertClient>& /*client*/,
                const absl::Status& /*reason*/) override {}

 private:
  const std::shared_ptr<const ExpertPlacement> placement_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_IN_PROCESS_EXPERT_CLIENT_H_
