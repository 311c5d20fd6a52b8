#include "tests/fakes/fake_expert_directory.h"

#include <utility>

namespace tramontane {

FakeExpertDirectory::FakeExpertDirectory(
    const MixtralConfig& config, const std::vector<std::shared_ptr<FakeExpertClient>>& clients)
    : num_layers_(config.num_layers), num_experts_(config.num_experts) {
  SetClients(clients);
}

std::shared_ptr<const ExpertPlacement> FakeExpertDirectory::placement() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return placement_;
}

void FakeExpertDirectory::SetClients(
    const std::vector<std::shared_ptr<FakeExpertClient>>& clients) {
  std::shared_ptr<const ExpertPlacement> placement =
      BuildPlacement(num_layers_, num_experts_, {clients.begin(), clients.end()});
  const std::lock_guard<std::mutex> lock(mutex_);
  placement_ = std::move(placement);
  changed_.notify_all();
}

std::shared_ptr<const ExpertPlacement> FakeExpertDirectory::AwaitChange(
    const std::shared_ptr<const ExpertPlacement>& seen, absl::Time deadline) const {
  std::unique_lock<std::mutex> lock(mutex_);
  ++num_waiting_;
  changed_.notify_all();
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return placement_ != seen; });
  --num_waiting_;
  return placement_;
}

void FakeExpertDirectory::WaitForWaiter() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return num_waiting_ > 0; });
}

void FakeExpertDirectory::SetAside(const std::shared_ptr<ExpertClient>& client,
                                   const absl::Status& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  set_aside_.emplace_back(client->address(), reason);
  placement_ = WithoutClient(*placement_, client.get());
  changed_.notify_all();
}

std::vector<std::pair<std::string, absl::Status>> FakeExpertDirectory::set_aside() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return set_aside_;
}

}  // namespace tramontane
