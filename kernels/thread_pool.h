// Fork-join parallelism for kernels, on few cores that other processes need too.
#ifndef TRAMONTANE_KERNELS_THREAD_POOL_H_
#define TRAMONTANE_KERNELS_THREAD_POOL_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"

namespace tramontane {

// `num_threads` workers of which the caller is one. Idle workers sleep in the kernel after at most
// a few microseconds. One ParallelFor at a time: a second concurrent caller waits its turn.
class ThreadPool {
 public:
  // 0 means the processors this process may run on.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  // Calls body(begin, end, thread) on disjoint ranges that cover [0, count), each of at most
  // `grain` indices, handed out dynamically; `thread` in [0, num_threads) names the scratch the
  // call may use. Returns when all have returned. Which thread takes which range is not determined.
  void ParallelFor(int64_t count, int64_t grain,
                   absl::FunctionRef<void(int64_t begin, int64_t end, int thread)> body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_THREAD_POOL_H_
