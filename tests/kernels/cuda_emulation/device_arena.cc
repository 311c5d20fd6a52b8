#include "tests/kernels/cuda_emulation/device_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "kernels/round_up.h"
#include "model/check.h"

namespace tramontane::emulation {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kPageBytes = size_t{2} << 20;

// Whole pages, aligned to them.
std::byte* ReserveAddresses(size_t num_bytes) {
  void* bytes = mmap(nullptr, num_bytes + kPageBytes, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TRAMONTANE_CHECK(bytes != MAP_FAILED);
  auto* const aligned =
      reinterpret_cast<std::byte*>(RoundUp(reinterpret_cast<uintptr_t>(bytes), kPageBytes));
  (void)madvise(aligned, num_bytes, MADV_HUGEPAGE);  // slower without
  return aligned;
}

}  // namespace

DeviceArena::Access::Access(DeviceArena& arena, void* bytes, size_t num_bytes)
    : arena_(arena),
      first_(static_cast<size_t>(static_cast<std::byte*>(bytes) - arena.bytes_)),
      num_bytes_(num_bytes) {
  TRAMONTANE_CHECK(!arena_.accessed_);
  arena_.accessed_ = true;
  arena_.Protect(first_, num_bytes_, PROT_READ | PROT_WRITE);
}

DeviceArena::Access::~Access() {
  arena_.Protect(first_, num_bytes_, PROT_NONE);
  arena_.accessed_ = false;
}

DeviceArena::DeviceArena(size_t num_bytes)
    : size_(RoundUp(num_bytes, kPageBytes)), bytes_(ReserveAddresses(size_)) {
  free_[0] = size_;
}

void DeviceArena::Protect(size_t first, size_t num_bytes, int protection) {
  if (num_bytes == 0) return;
  const size_t begin = first / kPageBytes * kPageBytes,
               end = RoundUp(first + num_bytes, kPageBytes);
  TRAMONTANE_CHECK(mprotect(bytes_ + begin, end - begin, protection) == 0);
}

void* DeviceArena::Allocate(size_t num_bytes) {
  if (num_bytes > size_) return nullptr;
  const size_t size = RoundUp(std::max<size_t>(num_bytes, 1), kAlignment);
  for (auto range = free_.begin(); range != free_.end(); ++range) {
    const auto [first, length] = *range;
    if (length < size) continue;
    free_.erase(range);
    if (length > size) free_[first + size] = length - size;
    used_[first] = num_bytes;
    allocated_ += num_bytes;
    touched_ = std::max(touched_, first + size);
    return bytes_ + first;
  }
  return nullptr;
}

void DeviceArena::Free(void* bytes) {
  const auto used = used_.find(static_cast<size_t>(static_cast<std::byte*>(bytes) - bytes_));
  TRAMONTANE_CHECK(used != used_.end());
  const size_t first = used->first;
  allocated_ -= used->second;
  auto freed = free_.emplace(first, RoundUp(std::max<size_t>(used->second, 1), kAlignment)).first;
  used_.erase(used);
  const auto next = std::next(freed);
  if (next != free_.end() && freed->first + freed->second == next->first) {
    freed->second += next->second;
    free_.erase(next);
  }
  if (freed == free_.begin()) return;
  const auto before = std::prev(freed);
  if (before->first + before->second != freed->first) return;
  before->second += freed->second;
  free_.erase(freed);
}

}  // namespace tramontane::emulation
