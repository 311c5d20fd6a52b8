#include "kernels/backend.h"

#include "kernels/reference/operations.h"
#include "kernels/reference/packed.h"
#include "model/check.h"

namespace tramontane {
namespace {

using reference::RowMajorExpert;
using reference::RowMajorMatrix;

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(DType compute_dtype)
      : compute_dtype_(compute_dtype), name_("reference-" + std::string(DTypeName(compute_dtype))) {
    TRAMONTANE_CHECK(compute_dtype == DType::kBF16 || compute_dtype == DType::kF32);
  }

  std::string_view name() const override { return name_; }
  DType compute_dtype() const override { return compute_dtype_; }
  absl::StatusOr<Buffer> Allocate(size_t num_bytes) override { return Buffer::Allocate(num_bytes); }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> stacked) override {
    return RowMajorMatrix::Make(stacked, compute_dtype_);
  }

  absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                           const TensorView& w3,
                                                           const TensorView& w2) override {
    auto gate = RowMajorMatrix::Make({&w1, 1}, compute_dtype_);
    if (!gate.ok()) return gate.status();
    auto up = RowMajorMatrix::Make({&w3, 1}, compute_dtype_);
    if (!up.ok()) return up.status();
    auto down = RowMajorMatrix::Make({&w2, 1}, compute_dtype_);
    if (!down.ok()) return down.status();
    return std::make_unique<RowMajorExpert>(*std::move(gate), *std::move(up), *std::move(down));
  }

  void EmbedTokens(const EmbedTokensArgs& args) override { reference::EmbedTokens(args); }
  void RmsNorm(const RmsNormArgs& args) override { reference::RmsNorm(args); }
  void MatMul(const MatMulArgs& args) override { reference::MatMul(args, compute_dtype_); }
  void RopeAndCache(const RopeAndCacheArgs& args) override { reference::RopeAndCache(args); }
  void PagedAttention(const PagedAttentionArgs& args) override { reference::PagedAttention(args); }
  void RouteTopK(const RouteTopKArgs& args) override { reference::RouteTopK(args); }
  void ExpertFfn(const ExpertFfnArgs& args) override { reference::ExpertFfn(args, compute_dtype_); }
  void CombineExperts(const CombineExpertsArgs& args) override { reference::CombineExperts(args); }

 private:
  const DType compute_dtype_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<Backend> CreateReferenceBackend(DType compute_dtype) {
  return std::make_unique<ReferenceBackend>(compute_dtype);
}

}  // namespace tramontane
