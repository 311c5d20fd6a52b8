// Bytes from the mapped checkpoint to the device, through two pinned buffers in turn.
#ifndef TRAMONTANE_KERNELS_CUDA_WEIGHT_STREAM_H_
#define TRAMONTANE_KERNELS_CUDA_WEIGHT_STREAM_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "kernels/buffer.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/pack_rows.h"
#include "model/tensor_view.h"

namespace tramontane::cuda {

// Holds 32 MiB of pinned and 32 MiB of device memory from the first use on.
class WeightStream {
 public:
  explicit WeightStream(Context& context) : context_(context) {}
  ~WeightStream();
  WeightStream(const WeightStream&) = delete;
  WeightStream& operator=(const WeightStream&) = delete;

  DType compute_dtype() const { return context_.compute_dtype; }

  // Packs all rows of `tensor` into `packed`, where the first becomes row `first_row`.
  // RESOURCE_EXHAUSTED where there is no memory for the buffers, INTERNAL where the device fails.
  absl::Status Pack(const TensorView& tensor, RowPlacement placement, int64_t first_row,
                    int64_t padded_in_features, std::byte* packed);

  // Copies a tensor as it is.
  absl::Status CopyBytes(const TensorView& tensor, std::byte* to);

 private:
  struct Side {
    Buffer pinned, device;
    cudaEvent_t free = nullptr;  // recorded after the last use
  };
  absl::Status Prepare();
  // The next side, once it is free.
  Side& Next();
  absl::Status DeviceStatus() const;

  Context& context_;
  std::array<Side, 2> sides_;
  int turn_ = 0;
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_WEIGHT_STREAM_H_
