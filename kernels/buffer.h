// Owned, 64-byte aligned memory for weights, activations and KV blocks.
#ifndef TRAMONTANE_KERNELS_BUFFER_H_
#define TRAMONTANE_KERNELS_BUFFER_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"

namespace tramontane {

// Move-only. The bytes start out zero. `Allocate` gives memory of the host; large buffers ask for
// huge pages. A backend may own its buffers otherwise, and of other memory (Backend::Allocate).
class Buffer {
 public:
  // Gives `num_bytes` at `bytes` back; called once, on any thread.
  using Release = void (*)(std::byte* bytes, size_t num_bytes);

  Buffer() = default;
  // Takes over memory that `release` gives back.
  Buffer(std::byte* bytes, size_t num_bytes, Release release)
      : bytes_(bytes, Deleter{num_bytes, release}), size_(num_bytes) {}
  // RESOURCE_EXHAUSTED naming the size where the memory cannot be had. 0 bytes is an empty buffer.
  static absl::StatusOr<Buffer> Allocate(size_t num_bytes);

  std::byte* bytes() const { return bytes_.get(); }
  size_t size() const { return size_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(bytes_.get());
  }

 private:
  struct Deleter {  // value-initialised by unique_ptr's default constructor
    size_t size;
    Release release;
    void operator()(std::byte* bytes) const { release(bytes, size); }
  };
  std::unique_ptr<std::byte, Deleter> bytes_;
  size_t size_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_BUFFER_H_
