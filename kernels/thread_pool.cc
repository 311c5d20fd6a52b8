#include "kernels/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kernels/processor_count.h"
#include "model/check.h"

namespace tramontane {
namespace {

using Clock = std::chrono::steady_clock;

// Long enough for the gap between two operations of a layer, too short to be felt by another
// process that shares the core.
constexpr std::chrono::microseconds kSpin{5};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Whether `ready` came true within kSpin.
template <typename Ready>
bool SpinUntil(Ready ready) {
  const Clock::time_point end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (Clock::now() < end);
  return false;
}

}  // namespace

struct ThreadPool::Impl {
  struct Job {
    absl::FunctionRef<void(int64_t, int64_t, int)> body;
    int64_t count;
    int64_t grain;
    std::atomic<int64_t> next{0};

    void Work(int thread) {
      for (;;) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        body(begin, std::min(begin + grain, count), thread);
      }
    }
  };

  void Serve(int thread);
  void Run(Job* job_to_run, int64_t num_ranges);

  std::mutex turn;  // held by the caller whose ParallelFor runs

  std::mutex mutex;
  std::condition_variable job_posted;
  std::condition_variable all_left;
  Job* job ABSL_GUARDED_BY(mutex) = nullptr;  // workers may join it
  int num_sleeping ABSL_GUARDED_BY(mutex) = 0;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  // Written under `mutex`, watched without it by those who spin.
  std::atomic<uint64_t> posts{0};  // jobs posted, and the stop
  std::atomic<int> num_inside{0};  // workers that have joined `job`

  std::vector<std::thread> workers;
};

void ThreadPool::Impl::Serve(int thread) {
  uint64_t seen = 0;
  for (;;) {
    SpinUntil([&] { return posts.load(std::memory_order_relaxed) != seen; });
    std::unique_lock<std::mutex> lock(mutex);
    ++num_sleeping;
    job_posted.wait(lock, [&] { return posts.load(std::memory_order_relaxed) != seen; });
    --num_sleeping;
    seen = posts.load(std::memory_order_relaxed);
    if (stopping) return;
    if (job == nullptr) continue;  // done without this worker
    Job* joined = job;
    num_inside.fetch_add(1, std::memory_order_relaxed);
    lock.unlock();
    joined->Work(thread);
    lock.lock();
    if (num_inside.fetch_sub(1, std::memory_order_relaxed) == 1) all_left.notify_one();
  }
}

void ThreadPool::Impl::Run(Job* job_to_run, int64_t num_ranges) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex);
    job = job_to_run;
    posts.fetch_add(1, std::memory_order_relaxed);
    wake = num_sleeping > 0;
  }
  if (wake && num_ranges == 2) job_posted.notify_one();
  if (wake && num_ranges > 2) job_posted.notify_all();
  job_to_run->Work(0);
  {
    std::lock_guard<std::mutex> lock(mutex);
    job = nullptr;  // nobody joins any more
  }
  SpinUntil([&] { return num_inside.load(std::memory_order_relaxed) == 0; });
  std::unique_lock<std::mutex> lock(mutex);
  all_left.wait(lock, [&] { return num_inside.load(std::memory_order_relaxed) == 0; });
}

ThreadPool::ThreadPool(int num_threads) : impl_(std::make_unique<Impl>()) {
  TRAMONTANE_CHECK(num_threads >= 0);
  if (num_threads == 0) num_threads = ProcessorCount();
  for (int thread = 1; thread < num_threads; ++thread) {
    impl_->workers.emplace_back([impl = impl_.get(), thread] { impl->Serve(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->stopping = true;
    impl_->posts.fetch_add(1, std::memory_order_relaxed);
  }
  impl_->job_posted.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::num_threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::ParallelFor(int64_t count, int64_t grain,
                             absl::FunctionRef<void(int64_t begin, int64_t end, int thread)> body) {
  TRAMONTANE_CHECK(grain > 0);
  if (count <= 0) return;
  std::lock_guard<std::mutex> turn(impl_->turn);
  Impl::Job job{body, count, grain};
  const int64_t num_ranges = (count - 1) / grain + 1;
  if (num_ranges == 1 || impl_->workers.empty()) {
    job.Work(0);
  } else {
    impl_->Run(&job, num_ranges);
  }
}

}  // namespace tramontane
