// Memory of a device that is kept from call to call.
#ifndef TRAMONTANE_KERNELS_CUDA_SCRATCH_H_
#define TRAMONTANE_KERNELS_CUDA_SCRATCH_H_

#include <cstddef>
#include <cstdint>

namespace tramontane::cuda {

class Context;

// Device memory, such as for an operation's intermediate results; what it holds is lost when it
// grows. Operations reserve as much as they ever will, so that it grows but once.
class Scratch {
 public:
  // `allocating`: a static string, for an error's message.
  explicit Scratch(const char* allocating = "allocating scratch memory")
      : allocating_(allocating) {}
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // At least `num_bytes`, aligned to 256 bytes; null after an error, which stays in the context.
  std::byte* Reserve(Context& context, int64_t num_bytes);

  std::byte* bytes() const { return bytes_; }
  int64_t size() const { return size_; }

 private:
  const char* const allocating_;
  std::byte* bytes_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_SCRATCH_H_
