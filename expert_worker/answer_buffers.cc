#include "expert_worker/answer_buffers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr size_t kMinBytes = 4096;  // a page

using OwnedBuffer = std::unique_ptr<Buffer>;

}  // namespace

// The idle buffers. Buffers that are out hold on to it.
class AnswerBuffers::Shelf {
 public:
  Shelf(size_t max_idle_bytes, size_t max_lent_bytes, std::function<void(size_t)> on_lent)
      : max_idle_bytes_(max_idle_bytes),
        max_lent_bytes_(max_lent_bytes),
        on_lent_(std::move(on_lent)) {}

  // Null where none of that size is idle; it counts as lent all the same. RESOURCE_EXHAUSTED where
  // too much is lent.
  absl::StatusOr<OwnedBuffer> Take(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    resting_ = false;
    if (lent_bytes_ > 0 && size + lent_bytes_ > max_lent_bytes_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("answers that the worker's peers have not taken hold ", lent_bytes_,
                       " bytes, and ", size, " more would exceed ", max_lent_bytes_,
                       "; try again, add replicas or raise --max_answer_mib"));
    }
    SetLent(lent_bytes_ + size);
    Size& shelved = OfSize(size);
    shelved.last_used = ++uses_;
    return shelved.idle.empty() ? nullptr : PopFrom(shelved);
  }

  // Of one that could not be had.
  void Forget(size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    SetLent(lent_bytes_ - size);
  }

  // The pool has ended.
  void Silence() {
    const std::lock_guard<std::mutex> lock(mutex_);
    on_lent_ = nullptr;
  }

  void PutBack(OwnedBuffer buffer) {
    std::vector<OwnedBuffer> freed;  // after the lock is released
    const std::lock_guard<std::mutex> lock(mutex_);
    const size_t size = buffer->size();
    SetLent(lent_bytes_ - size);
    if (resting_ || size > max_idle_bytes_) {
      freed.push_back(std::move(buffer));
      return;
    }
    OfSize(size).idle.push_back(std::move(buffer));
    idle_bytes_ += size;
    while (idle_bytes_ > max_idle_bytes_) freed.push_back(PopFrom(LeastRecentlyUsed()));
  }

  void Rest() {
    std::array<Size, kNumSizes> freed;  // after the lock is released
    const std::lock_guard<std::mutex> lock(mutex_);
    resting_ = true;
    for (size_t i = 0; i < kNumSizes; ++i) freed[i].idle.swap(sizes_[i].idle);
    idle_bytes_ = 0;
  }

  size_t idle_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return idle_bytes_;
  }

  size_t lent_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lent_bytes_;
  }

 private:
  static constexpr size_t kNumSizes = 64;  // powers of two

  struct Size {
    std::vector<OwnedBuffer> idle;
    uint64_t last_used = 0;
  };

  void SetLent(size_t lent_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    lent_bytes_ = lent_bytes;
    if (on_lent_ != nullptr) on_lent_(lent_bytes);
  }

  Size& OfSize(size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return sizes_[static_cast<size_t>(std::countr_zero(size))];
  }

  // The least recently used size that has idle buffers; there is one.
  Size& LeastRecentlyUsed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Size* least = nullptr;
    for (Size& size : sizes_) {
      if (size.idle.empty()) continue;
      if (least == nullptr || size.last_used < least->last_used) least = &size;
    }
    TRAMONTANE_CHECK(least != nullptr);
    return *least;
  }

  OwnedBuffer PopFrom(Size& size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    OwnedBuffer buffer = std::move(size.idle.back());
    size.idle.pop_back();
    idle_bytes_ -= buffer->size();
    return buffer;
  }

  const size_t max_idle_bytes_;
  const size_t max_lent_bytes_;
  mutable std::mutex mutex_;
  std::function<void(size_t)> on_lent_ ABSL_GUARDED_BY(mutex_);
  std::array<Size, kNumSizes> sizes_ ABSL_GUARDED_BY(mutex_);
  size_t idle_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t lent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  bool resting_ ABSL_GUARDED_BY(mutex_) = false;
};

AnswerBuffers::AnswerBuffers(Backend* backend, size_t max_idle_bytes, size_t max_lent_bytes,
                             std::function<void(size_t)> on_lent)
    : backend_(backend),
      shelf_(std::make_shared<Shelf>(max_idle_bytes, max_lent_bytes, std::move(on_lent))) {}

// What is still out then frees itself.
AnswerBuffers::~AnswerBuffers() {
  shelf_->Silence();
  Rest();
}

absl::StatusOr<std::shared_ptr<Buffer>> AnswerBuffers::Take(size_t num_bytes) {
  TRAMONTANE_CHECK(num_bytes <= SIZE_MAX / 2);
  const size_t size = std::bit_ceil(std::max(num_bytes, kMinBytes));
  absl::StatusOr<OwnedBuffer> taken = shelf_->Take(size);
  if (!taken.ok()) return taken.status();
  OwnedBuffer buffer = *std::move(taken);
  if (buffer == nullptr) {
    absl::StatusOr<Buffer> allocated = backend_->AllocateShared(size);
    if (!allocated.ok()) {
      shelf_->Forget(size);
      return allocated.status();
    }
    buffer = std::make_unique<Buffer>(*std::move(allocated));
  }
  return std::shared_ptr<Buffer>(buffer.release(), [shelf = shelf_](Buffer* returned) {
    shelf->PutBack(OwnedBuffer(returned));
  });
}

void AnswerBuffers::Rest() { shelf_->Rest(); }

size_t AnswerBuffers::idle_bytes() const { return shelf_->idle_bytes(); }

size_t AnswerBuffers::lent_bytes() const { return shelf_->lent_bytes(); }

}  // namespace tramontane
