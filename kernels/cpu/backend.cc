#include "kernels/backend.h"

#include "absl/strings/str_cat.h"
#include "kernels/cpu/operations.h"
#include "kernels/cpu/packed_panels.h"

namespace tramontane {
namespace {

constexpr char kIsaNames[] = "avx512_bf16, avx512, avx2 or portable";

// In f32 mode the kernels of bf16 pairs are not used, so their presence is not part of the name.
std::string BackendName(std::string_view isa, DType compute_dtype) {
  if (compute_dtype == DType::kBF16) return "cpu-" + std::string(isa);
  return isa == "avx512_bf16" ? "cpu-avx512-f32" : "cpu-" + std::string(isa) + "-f32";
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(const cpu::IsaKernels* kernels, const CpuBackendOptions& options)
      : context_(kernels, options.compute_dtype, options.num_threads),
        name_(BackendName(kernels->name, options.compute_dtype)) {}

  std::string_view name() const override { return name_; }
  DType compute_dtype() const override { return context_.compute_dtype; }
  absl::StatusOr<Buffer> Allocate(size_t num_bytes) override { return Buffer::Allocate(num_bytes); }
  ThreadPool* host_threads() override { return &context_.pool; }

  absl::StatusOr<std::unique_ptr<PackedMatrix>> Pack(std::span<const TensorView> stacked) override {
    int64_t out_features = 0;
    for (const TensorView& matrix : stacked) out_features += matrix.shape[0];
    return cpu::PackedPanels::Make(context_, cpu::StackedRows(stacked), out_features,
                                   stacked[0].shape[1]);
  }

  absl::StatusOr<std::unique_ptr<PackedExpert>> PackExpert(const TensorView& w1,
                                                           const TensorView& w3,
                                                           const TensorView& w2) override {
    return cpu::PackedPanelsExpert::Make(context_, w1, w3, w2);
  }

  void EmbedTokens(const EmbedTokensArgs& args) override { cpu::EmbedTokens(context_, args); }
  void RmsNorm(const RmsNormArgs& args) override { cpu::RmsNorm(context_, args); }
  void MatMul(const MatMulArgs& args) override { cpu::MatMul(context_, args); }
  void RopeAndCache(const RopeAndCacheArgs& args) override { cpu::RopeAndCache(context_, args); }
  void PagedAttention(const PagedAttentionArgs& args) override {
    cpu::PagedAttention(context_, args);
  }
  void RouteTopK(const RouteTopKArgs& args) override { cpu::RouteTopK(context_, args); }
  void ExpertFfn(const ExpertFfnArgs& args) override { cpu::ExpertFfn(context_, args); }
  void CombineExperts(const CombineExpertsArgs& args) override {
    cpu::CombineExperts(context_, args);
  }

 private:
  cpu::Context context_;
  const std::string name_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateCpuBackend(const CpuBackendOptions& options) {
  if (options.compute_dtype == DType::kF16) {
    return absl::InvalidArgumentError(
        "expected the compute dtype bf16 or f32, found f16; choose one of those");
  }
  if (options.num_threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a number of threads, or 0 for all, found ", options.num_threads));
  }
  if (!cpu::IsKnownIsa(options.isa)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected the instruction set ", kIsaNames, ", found \"", options.isa, "\""));
  }
  const cpu::IsaKernels* kernels = cpu::FindKernels(options.isa);
  if (kernels == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected a machine with ", options.isa,
                     ", found that this one lacks it; leave the instruction set open or name "
                     "another of ",
                     kIsaNames));
  }
  return std::make_unique<CpuBackend>(kernels, options);
}

}  // namespace tramontane
