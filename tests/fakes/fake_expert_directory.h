// A placement that a test sets.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "attention_worker/expert_directory.h"
#include "model/config.h"
#include "tests/fakes/fake_expert_client.h"

namespace tramontane {

// Thread-safe.
class FakeExpertDirectory : public ExpertDirectory {
 public:
  FakeExpertDirectory(const MixtralConfig& config,
                      const std::vector<std::shared_ptr<FakeExpertClient>>& clients);

  std::shared_ptr<const ExpertPlacement> placement() const override;
  std::shared_ptr<const ExpertPlacement> AwaitChange(
      const std::shared_ptr<const ExpertPlacement>& seen, absl::Time deadline) const override;
  // Until the next SetClients.
  void SetAside(const std::shared_ptr<ExpertClient>& client, const absl::Status& reason) override;
  // Who was set aside, in order, with the reasons.
  std::vector<std::pair<std::string, absl::Status>> set_aside() const;
  // Workers come and go.
  void SetClients(const std::vector<std::shared_ptr<FakeExpertClient>>& clients);
  // Returns once somebody is in AwaitChange.
  void WaitForWaiter();

 private:
  const int num_layers_;
  const int num_experts_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<const ExpertPlacement> placement_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, absl::Status>> set_aside_ ABSL_GUARDED_BY(mutex_);
  mutable int num_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_
