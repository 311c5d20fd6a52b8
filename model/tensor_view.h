// A tensor's shape, dtype and bytes, owned by somebody else.
#ifndef TRAMONTANE_MODEL_TENSOR_VIEW_H_
#define TRAMONTANE_MODEL_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/dtype.h"

namespace tramontane {

// Row-major and little-endian. Valid as long as the Checkpoint (or the buffer) it points into.
// `bytes` has no alignment guarantee: safetensors aligns its tensors only by courtesy of the
// writer.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* bytes = nullptr;

  int64_t num_elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
  size_t num_bytes() const { return static_cast<size_t>(num_elements()) * DTypeSize(dtype); }
};

// Element `index` (row-major) as float32: exact for every dtype.
float ElementAsFloat(const TensorView& tensor, int64_t index);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_TENSOR_VIEW_H_
