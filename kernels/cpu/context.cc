#include "kernels/cpu/context.h"

#include <utility>

#include "model/check.h"

namespace tramontane::cpu {

std::byte* Scratch::Reserve(int64_t num_bytes) {
  const auto size = static_cast<size_t>(num_bytes);
  if (buffer_.size() < size) {
    buffer_ = Buffer();
    absl::StatusOr<Buffer> larger = Buffer::Allocate(size);
    TRAMONTANE_CHECK(larger.ok());
    buffer_ = *std::move(larger);
  }
  return buffer_.bytes();
}

}  // namespace tramontane::cpu
