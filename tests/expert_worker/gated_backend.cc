#include "tests/expert_worker/gated_backend.h"

#include "kernels/expert_ffn.h"

namespace tramontane {

GatedBackend::GatedBackend(DType compute_dtype) : inner_(CreateReferenceBackend(compute_dtype)) {}

void GatedBackend::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
}

void GatedBackend::Open() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = false;
  changed_.notify_all();
}

void GatedBackend::WaitUntilHeld() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return held_ > 0; });
}

void GatedBackend::LimitAllocations(size_t max_bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  max_allocation_bytes_ = max_bytes;
}

absl::StatusOr<Buffer> GatedBackend::Allocate(size_t num_bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (num_bytes > max_allocation_bytes_) return absl::ResourceExhaustedError("the test's limit");
  return inner_->Allocate(num_bytes);
}

int GatedBackend::num_begun() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(computations_.size());
}

std::vector<std::vector<GatedBackend::Group>> GatedBackend::computations() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return computations_;
}

void GatedBackend::ExpertFfn(const ExpertFfnArgs& args) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    std::vector<Group>& groups = computations_.emplace_back();
    for (const ExpertRows& group : args.groups) {
      groups.push_back({group.expert, group.input.size()});
    }
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --held_;
  }
  inner_->ExpertFfn(args);
}

}  // namespace tramontane
