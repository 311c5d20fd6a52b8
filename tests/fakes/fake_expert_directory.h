// A placement that a test sets.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_

#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
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
  // Workers come and go.
  void SetClients(const std::vector<std::shared_ptr<FakeExpertClient>>& clients);

 private:
  const int num_layers_;
  const int num_experts_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ExpertPlacement> placement_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_DIRECTORY_H_
