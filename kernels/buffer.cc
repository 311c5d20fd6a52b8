#include "kernels/buffer.h"

#include <sys/mman.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "kernels/round_up.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kHugePageBytes = size_t{2} << 20;

absl::Status OutOfMemory(size_t num_bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat("expected ", num_bytes,
                   " bytes of memory, found that the system has not that many left; stop other "
                   "processes or host fewer experts on this machine"));
}

// Gives back what lies before and after [begin, begin + size) of the mapping.
void Trim(std::byte* map, size_t map_size, std::byte* begin, size_t size) {
  if (begin != map) TRAMONTANE_CHECK(munmap(map, static_cast<size_t>(begin - map)) == 0);
  const size_t tail = map_size - static_cast<size_t>(begin - map) - size;
  if (tail != 0) TRAMONTANE_CHECK(munmap(begin + size, tail) == 0);
}

void Unmap(std::byte* bytes, size_t size) {
  TRAMONTANE_CHECK(munmap(bytes, RoundUp(size, kPageBytes)) == 0);
}

}  // namespace

absl::StatusOr<Buffer> Buffer::Allocate(size_t num_bytes) {
  if (num_bytes == 0) return Buffer();
  if (num_bytes > SIZE_MAX / 2) return OutOfMemory(num_bytes);
  const bool huge = num_bytes >= kHugePageBytes;
  const size_t size = RoundUp(num_bytes, kPageBytes);
  const size_t map_size = huge ? size + kHugePageBytes : size;
  void* map = mmap(nullptr, map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return OutOfMemory(num_bytes);
  auto* begin = static_cast<std::byte*>(map);
  if (huge) {
    const size_t misaligned = reinterpret_cast<uintptr_t>(map) % kHugePageBytes;
    if (misaligned != 0) begin += kHugePageBytes - misaligned;
    Trim(static_cast<std::byte*>(map), map_size, begin, size);
    // Advice: a kernel without transparent huge pages serves small ones.
    (void)madvise(begin, size, MADV_HUGEPAGE);
  }
  return Buffer(begin, num_bytes, &Unmap);
}

}  // namespace tramontane
