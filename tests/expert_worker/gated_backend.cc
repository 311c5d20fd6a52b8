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

int GatedBackend::num_begun() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return begun_;
}

void GatedBackend::ExpertFfn(const ExpertFfnArgs& args) {
  {
    std::unique_lock<std::mutex> lock(mutex_);
    ++begun_;
    ++held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --held_;
  }
  inner_->ExpertFfn(args);
}

}  // namespace tramontane
