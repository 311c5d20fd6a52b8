// Weights as the matrix product reads them: panels of 64 output features (kernels/cpu/isa.h).
#ifndef TRAMONTANE_KERNELS_CPU_PACKED_PANELS_H_
#define TRAMONTANE_KERNELS_CPU_PACKED_PANELS_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/buffer.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/memory_size.h"
#include "kernels/packed_matrix.h"
#include "model/tensor_view.h"

namespace tramontane::cpu {

// One row of a weight matrix, in the checkpoint: the source of one packed column.
struct WeightRow {
  const std::byte* bytes = nullptr;  // null: zeros
  DType dtype = DType::kF32;
};

class PackedPanels final : public PackedMatrix {
 public:
  // `rows` [num_panels * kPanelColumns]; out_features of them count. RESOURCE_EXHAUSTED where
  // memory runs out.
  static absl::StatusOr<std::unique_ptr<PackedPanels>> Make(Context& context,
                                                            const std::vector<WeightRow>& rows,
                                                            int64_t out_features,
                                                            int64_t in_features);

  int64_t out_features() const override { return out_features_; }
  int64_t in_features() const override { return in_features_; }
  size_t num_bytes() const override { return bytes_.size(); }

  int64_t num_panels() const { return layout_.num_panels; }
  int64_t num_units() const { return layout_.num_units; }
  bool half_unit() const { return layout_.half_unit; }
  int64_t panel_bytes() const { return layout_.panel_bytes(); }
  const std::byte* panel(int64_t p) const { return bytes_.bytes() + p * panel_bytes(); }
  int64_t columns(int64_t p) const {
    const int64_t left = out_features_ - p * kPanelColumns;
    return left < kPanelColumns ? left : kPanelColumns;
  }

 private:
  PackedPanels(int64_t out_features, int64_t in_features, DType compute_dtype)
      : out_features_(out_features),
        in_features_(in_features),
        layout_(out_features, in_features, compute_dtype) {}

  const int64_t out_features_;
  const int64_t in_features_;
  const PanelLayout layout_;
  Buffer bytes_;  // [num_panels][num_units][kPanelColumns] units
};

// w1 and w3 side by side in each panel, so that one pass gives both factors of SwiGLU.
class PackedPanelsExpert final : public PackedExpert {
 public:
  // As PackedPanels::Make.
  static absl::StatusOr<std::unique_ptr<PackedPanelsExpert>> Make(Context& context,
                                                                  const TensorView& w1,
                                                                  const TensorView& w3,
                                                                  const TensorView& w2);

  int64_t hidden_size() const override { return w2_->out_features(); }
  int64_t intermediate_size() const override { return w2_->in_features(); }
  size_t num_bytes() const override { return w13_->num_bytes() + w2_->num_bytes(); }

  const PackedPanels& w13() const { return *w13_; }
  const PackedPanels& w2() const { return *w2_; }

 private:
  std::unique_ptr<PackedPanels> w13_, w2_;
};

// One packed column for each row of the stacked matrices, padded to whole panels.
std::vector<WeightRow> StackedRows(std::span<const TensorView> stacked);

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_PACKED_PANELS_H_
