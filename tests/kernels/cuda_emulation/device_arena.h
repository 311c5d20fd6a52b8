// The memory of the emulated device: the host cannot reach it but while work is being run.
#ifndef TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_DEVICE_ARENA_H_
#define TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_DEVICE_ARENA_H_

#include <cstddef>
#include <map>

namespace tramontane::emulation {

// One range of addresses, so that one call opens and one closes all of it, in huge pages where the
// system gives them, which makes those calls cheap. Used by one thread at a time.
class DeviceArena {
 public:
  // One at a time. While it lives, all threads of the host can reach the memory, or `num_bytes` of
  // it and what lies near: those that should not are caught at other times.
  class Access {
   public:
    explicit Access(DeviceArena& arena) : Access(arena, arena.bytes_, arena.touched_) {}
    Access(DeviceArena& arena, void* bytes, size_t num_bytes);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    DeviceArena& arena_;
    const size_t first_, num_bytes_;
  };

  // Takes addresses, no memory.
  explicit DeviceArena(size_t num_bytes);

  // Aligned to 256; null where there is no range of that length.
  void* Allocate(size_t num_bytes);
  void Free(void* bytes);
  size_t allocated() const { return allocated_; }

 private:
  void Protect(size_t first, size_t num_bytes, int protection);

  const size_t size_;
  std::byte* const bytes_;
  std::map<size_t, size_t> free_;  // from first byte to size; neighbours are merged
  std::map<size_t, size_t> used_;  // to the bytes that were asked for
  size_t allocated_ = 0;           // of those
  size_t touched_ = 0;             // up to the end of the last that was ever given
  bool accessed_ = false;
};

}  // namespace tramontane::emulation

#endif  // TRAMONTANE_TESTS_KERNELS_CUDA_EMULATION_DEVICE_ARENA_H_
