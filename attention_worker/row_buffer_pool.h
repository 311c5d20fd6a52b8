// Memory for the rows of batches, shared by everybody who still reads them.
#ifndef TRAMONTANE_ATTENTION_WORKER_ROW_BUFFER_POOL_H_
#define TRAMONTANE_ATTENTION_WORKER_ROW_BUFFER_POOL_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"

namespace tramontane {

// Used by one thread. A buffer comes back, from any thread, with its last reference, and serves
// again; the pool may be gone by then.
class RowBufferPool {
 public:
  // `backend` outlives the pool. Of buffers that nobody refers to it keeps up to `max_idle_bytes`.
  RowBufferPool(Backend* backend, size_t max_idle_bytes);

  // At least `num_bytes`, of any content. RESOURCE_EXHAUSTED as Backend::AllocateShared.
  absl::StatusOr<std::shared_ptr<const Buffer>> Take(size_t num_bytes);

  size_t idle_bytes() const;

 private:
  struct Idle;

  Backend* const backend_;
  const std::shared_ptr<Idle> idle_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_ROW_BUFFER_POOL_H_
