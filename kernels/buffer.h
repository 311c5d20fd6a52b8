// Owned, 64-byte aligned host memory for weights, activations and KV blocks.
#ifndef TRAMONTANE_KERNELS_BUFFER_H_
#define TRAMONTANE_KERNELS_BUFFER_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace tramontane {

// Move-only. The bytes start out zero. Large buffers ask for huge pages.
class Buffer {
 public:
  Buffer() = default;
  // RESOURCE_EXHAUSTED naming the size where the memory cannot be had. 0 bytes is an empty buffer.
  static absl::StatusOr<Buffer> Allocate(size_t num_bytes);

  std::byte* bytes() const { return bytes_.get(); }
  size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(bytes_.get());
  }

 private:
  struct Unmap {
    size_t size;  // value-initialised by unique_ptr's default constructor
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Unmap> bytes_;
  size_t size_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_BUFFER_H_
