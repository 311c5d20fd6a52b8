// A backend whose expert computation waits for leave, so that tests see a queue without sleeping.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_GATED_BACKEND_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_GATED_BACKEND_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/backend.h"

namespace tramontane {

// The reference backend behind a gate on ExpertFfn, open at first.
class GatedBackend final : public Backend {
 public:
  explicit GatedBackend(DType compute_dtype);

  void Close();
  void Open();
  // Returns once a computation stands at the closed gate.
  void WaitUntilHeld();
  // From now on larger allocations fail.
  void LimitAllocations(size_t max_bytes);
  // How many computations have begun.
  int num_begun();
  // The experts of each computation that has begun, one entry a group, and the group's rows.
  struct Group {
    const PackedExpert* expert;
    size_t num_rows;
  };
  std::vector<std::vector<Group>> computations();

  std::string_view name() const override { return inner_->name(); }
  DType compute_dtype() const override { return inner_->compute_dtype(); }
  absl::StatusOr<Buffer> Allocate(size_t num_bytes) override;
  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> stacked) override {
    return inner_->Pack(stacked);
  }
  absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                           const TensorView& w3,
                                                           const TensorView& w2) override {
    return inner_->PackExpert(w1, w3, w2);
  }
  void EmbedTokens(const EmbedTokensArgs& args) override { inner_->EmbedTokens(args); }
  void RmsNorm(const RmsNormArgs& args) override { inner_->RmsNorm(args); }
  void MatMul(const MatMulArgs& args) override { inner_->MatMul(args); }
  void RopeAndCache(const RopeAndCacheArgs& args) override { inner_->RopeAndCache(args); }
  void PagedAttention(const PagedAttentionArgs& args) override { inner_->PagedAttention(args); }
  void RouteTopK(const RouteTopKArgs& args) override { inner_->RouteTopK(args); }
  void ExpertFfn(const ExpertFfnArgs& args) override;
  void CombineExperts(const CombineExpertsArgs& args) override { inner_->CombineExperts(args); }

 private:
  const std::unique_ptr<Backend> inner_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;  // guarded by mutex_, as the others
  int held_ = 0;
  size_t max_allocation_bytes_ = SIZE_MAX;
  std::vector<std::vector<Group>> computations_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_GATED_BACKEND_H_
