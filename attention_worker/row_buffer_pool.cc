#include "attention_worker/row_buffer_pool.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"

namespace tramontane {
namespace {

// Sizes are powers of two from here on, so that batches of about as many rows share buffers.
constexpr size_t kSmallestBuffer = 4'096;

}  // namespace

struct RowBufferPool::Idle {
  explicit Idle(size_t most) : max_bytes(most) {}

  void Give(Buffer buffer) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (bytes + buffer.size() > max_bytes) return;  // destroys it, after the lock is released
    bytes += buffer.size();
    by_size[buffer.size()].push_back(std::move(buffer));
  }

  Buffer Take(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = by_size.find(size);
    if (found == by_size.end() || found->second.empty()) return Buffer();
    Buffer buffer = std::move(found->second.back());
    found->second.pop_back();
    bytes -= size;
    return buffer;
  }

  const size_t max_bytes;
  std::mutex mutex;
  size_t bytes ABSL_GUARDED_BY(mutex) = 0;
  std::map<size_t, std::vector<Buffer>> by_size ABSL_GUARDED_BY(mutex);
};

RowBufferPool::RowBufferPool(Backend* backend, size_t max_idle_bytes)
    : backend_(backend), idle_(std::make_shared<Idle>(max_idle_bytes)) {}

absl::StatusOr<std::shared_ptr<const Buffer>> RowBufferPool::Take(size_t num_bytes) {
  const size_t size = std::max(kSmallestBuffer, std::bit_ceil(num_bytes));
  Buffer buffer = idle_->Take(size);
  if (buffer.size() == 0) {
    absl::StatusOr<Buffer> allocated = backend_->AllocateShared(size);
    if (!allocated.ok()) return allocated.status();
    buffer = *std::move(allocated);
  }
  return std::shared_ptr<const Buffer>(new Buffer(std::move(buffer)),
                                       [idle = idle_](Buffer* returned) {
                                         idle->Give(std::move(*returned));
                                         delete returned;
                                       });
}

size_t RowBufferPool::idle_bytes() const {
  const std::lock_guard<std::mutex> lock(idle_->mutex);
  return idle_->bytes;
}

}  // namespace tramontane
