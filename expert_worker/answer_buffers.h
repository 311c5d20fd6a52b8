// Memory for answers that is used again and again, so that no batch pays for mapping and zeroing
// it.
#ifndef TRAMONTANE_EXPERT_WORKER_ANSWER_BUFFERS_H_
#define TRAMONTANE_EXPERT_WORKER_ANSWER_BUFFERS_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/buffer.h"

namespace tramontane {

// Buffers of powers of two bytes that come back when their last owner lets go of them, on whatever
// thread. At most `max_idle_bytes` of them are kept; beyond that, sizes not used for longest go
// first. At most `max_lent_bytes` are out, or one buffer of any size. Thread-safe, but for Take,
// which uses the backend. Buffers may outlive the pool.
class AnswerBuffers {
 public:
  // `backend`, which allocates, outlives the pool. `on_lent` (may be null) hears of lent_bytes()
  // whenever it changes, with the pool locked, until the pool ends.
  AnswerBuffers(Backend* backend, size_t max_idle_bytes, size_t max_lent_bytes,
                std::function<void(size_t lent_bytes)> on_lent = nullptr);
  ~AnswerBuffers();
  AnswerBuffers(const AnswerBuffers&) = delete;
  AnswerBuffers& operator=(const AnswerBuffers&) = delete;

  // At least `num_bytes`, that hold anything. RESOURCE_EXHAUSTED where memory runs out, or too much
  // is out.
  absl::StatusOr<std::shared_ptr<Buffer>> Take(size_t num_bytes);

  // Frees what is idle, and what comes back before the next Take.
  void Rest();

  size_t idle_bytes() const;
  // Of what was taken and has not come back.
  size_t lent_bytes() const;

 private:
  class Shelf;
  Backend* const backend_;
  const std::shared_ptr<Shelf> shelf_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_EXPERT_WORKER_ANSWER_BUFFERS_H_
