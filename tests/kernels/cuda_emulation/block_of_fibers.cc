#include "tests/kernels/cuda_emulation/block_of_fibers.h"

#include <cuda_runtime.h>
#include <sys/mman.h>

#include <deque>
#include <memory>
#include <vector>

#include "model/check.h"

uint3 threadIdx, blockIdx, blockDim, gridDim;

// Saves the callee's registers and the stack pointer, and goes on where another stack was left.
extern "C" void tramontane_switch_stack(void** save, void* load);
asm(R"(
.text
.type tramontane_switch_stack, @function
tramontane_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace tramontane::emulation {
namespace {

constexpr size_t kStackBytes = size_t{128} << 10;

struct PendingCopy {
  void* to;
  const void* from;
  bool valid;
};

struct Warp {
  int arrived = 0;
  uint64_t generation = 0;
  std::byte slots[2][kLanes][kSlotBytes];
};

struct Fiber {
  void* stack_pointer = nullptr;
  bool done = false;
  bool awaited_previous = false;
  uint3 index;
  uint64_t num_exchanges = 0;
  std::vector<PendingCopy> uncommitted;
  std::deque<std::vector<PendingCopy>> groups;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::unique_ptr<unsigned char[]> shared;
  int arrived = 0;
  uint64_t generation = 0;
  uint64_t progress = 0;  // grows whenever a barrier opens or a thread ends
  const std::function<void()>* kernel = nullptr;
  void* scheduler = nullptr;  // its stack
  size_t running = 0;
};

Block* current = nullptr;

std::byte* Stack(size_t index) {
  static std::vector<std::byte*> stacks;
  while (stacks.size() <= index) {
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    TRAMONTANE_CHECK(stack != MAP_FAILED);
    stacks.push_back(static_cast<std::byte*>(stack));
  }
  return stacks[index];
}

Fiber& Running() { return current->fibers[current->running]; }

void Yield() { tramontane_switch_stack(&Running().stack_pointer, current->scheduler); }

void RunFiber() {
  (*current->kernel)();
  TRAMONTANE_CHECK(Running().awaited_previous);
  Running().done = true;
  ++current->progress;
  Yield();
}

void Prepare(Block& block, size_t index, const Extent& extent) {
  Fiber& fiber = block.fibers[index];
  const auto i = static_cast<unsigned>(index);
  fiber.index = {i % extent.x, i / extent.x % extent.y, i / (extent.x * extent.y)};
  auto** top = reinterpret_cast<void**>(Stack(index) + kStackBytes) - 8;
  for (int r = 0; r < 6; ++r) top[r] = nullptr;
  top[6] = reinterpret_cast<void*>(&RunFiber);
  top[7] = nullptr;
  fiber.stack_pointer = top;
}

// Runs all threads to their next wait, forwards or backwards, until all have ended.
void RunThreads(Block& block, bool backwards) {
  const size_t count = block.fibers.size();
  for (size_t live = count; live > 0;) {
    const uint64_t before = block.progress;
    live = 0;
    for (size_t n = 0; n < count; ++n) {
      block.running = backwards ? count - 1 - n : n;
      if (Running().done) continue;
      threadIdx = Running().index;
      tramontane_switch_stack(&block.scheduler, Running().stack_pointer);
      live += !Running().done;
    }
    TRAMONTANE_CHECK(live == 0 || block.progress != before);
  }
}

// What a barrier's eight bytes hold.
struct BarrierState {
  uint8_t phase, arrivals, pending;
  int32_t bytes;
};
static_assert(sizeof(BarrierState) == sizeof(uint64_t));

BarrierState LoadBarrier(const uint64_t* barrier) {
  BarrierState state;
  std::memcpy(&state, barrier, sizeof(state));
  return state;
}

void StoreBarrier(BarrierState state, uint64_t* barrier) {
  if (state.pending == 0 && state.bytes == 0) {
    state.phase ^= 1;
    state.pending = state.arrivals;
    ++current->progress;
  }
  std::memcpy(barrier, &state, sizeof(state));
}

void Perform(const std::vector<PendingCopy>& group) {
  for (const PendingCopy& copy : group) {
    if (copy.valid) {
      std::memcpy(copy.to, copy.from, 16);
    } else {
      std::memset(copy.to, 0, 16);
    }
  }
}

}  // namespace

void RunGrid(const Extent& grid, const Extent& extent, size_t shared_bytes,
             const std::function<void()>& kernel) {
  static uint64_t num_blocks = 0;
  const size_t num_threads = size_t{extent.x} * extent.y * extent.z;
  blockDim = {extent.x, extent.y, extent.z};
  gridDim = {grid.x, grid.y, grid.z};
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        Block block;
        block.fibers.resize(num_threads);
        block.warps.resize((num_threads + kLanes - 1) / kLanes);
        block.shared = std::make_unique<unsigned char[]>(shared_bytes + 1);
        std::memset(block.shared.get(), 0xff, shared_bytes);
        block.kernel = &kernel;
        blockIdx = {x, y, z};
        current = &block;
        for (size_t i = 0; i < num_threads; ++i) Prepare(block, i, extent);
        RunThreads(block, ++num_blocks % 2 == 0);
        current = nullptr;
      }
    }
  }
}

unsigned char* DynamicShared() { return current->shared.get(); }

int Lane() { return static_cast<int>(current->running % kLanes); }

void SyncThreads() {
  const uint64_t generation = current->generation;
  if (++current->arrived == static_cast<int>(current->fibers.size())) {
    current->arrived = 0;
    ++current->generation;
    ++current->progress;
  }
  while (current->generation == generation) Yield();
}

void AwaitPrevious() { Running().awaited_previous = true; }

const std::byte (*ExchangeInWarp(const void* mine, size_t size))[kSlotBytes] {
  Warp& warp = current->warps[current->running / kLanes];
  auto& slots = warp.slots[Running().num_exchanges++ % 2];
  std::memcpy(slots[Lane()], mine, size);
  const uint64_t generation = warp.generation;
  if (++warp.arrived == kLanes) {
    warp.arrived = 0;
    ++warp.generation;
    ++current->progress;
  }
  while (warp.generation == generation) Yield();
  return slots;
}

void CopyAsync(void* to, const void* from, bool valid) {
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(to) % 16 == 0);
  TRAMONTANE_CHECK(!valid || reinterpret_cast<uintptr_t>(from) % 16 == 0);
  std::memset(to, 0xff, 16);
  Running().uncommitted.push_back({to, from, valid});
}

void CommitCopies() {
  Running().groups.push_back(std::move(Running().uncommitted));
  Running().uncommitted.clear();
}

void AwaitCopies(int pending) {
  auto& groups = Running().groups;
  for (; static_cast<int>(groups.size()) > pending; groups.pop_front()) Perform(groups.front());
}

void InitBarrier(uint64_t* barrier, int arrivals) {
  const BarrierState state = {0, static_cast<uint8_t>(arrivals), static_cast<uint8_t>(arrivals), 0};
  StoreBarrier(state, barrier);
}

void Arrive(uint64_t* barrier, int expected_bytes) {
  BarrierState state = LoadBarrier(barrier);
  TRAMONTANE_CHECK(state.pending > 0);
  --state.pending;
  state.bytes += expected_bytes;
  StoreBarrier(state, barrier);
}

void CopyBulk(void* to, const void* from, int num_bytes, uint64_t* barrier) {
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(to) % 16 == 0);
  TRAMONTANE_CHECK(reinterpret_cast<uintptr_t>(from) % 16 == 0);
  TRAMONTANE_CHECK(num_bytes > 0 && num_bytes % 16 == 0);
  std::memcpy(to, from, static_cast<size_t>(num_bytes));
  BarrierState state = LoadBarrier(barrier);
  state.bytes -= num_bytes;
  StoreBarrier(state, barrier);
}

void AwaitBarrier(const uint64_t* barrier, int parity) {
  while (LoadBarrier(barrier).phase == parity) Yield();
}

}  // namespace tramontane::emulation
