// Hosted experts of a golden checkpoint, and batches for them.
#ifndef TRAMONTANE_TESTS_EXPERT_WORKER_FIXTURES_H_
#define TRAMONTANE_TESTS_EXPERT_WORKER_FIXTURES_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "expert_worker/expert_executor.h"
#include "expert_worker/hosted_experts.h"
#include "kernels/backend.h"

namespace tramontane {

// Opens tests/golden/NAME; fails the test where it cannot.
std::shared_ptr<const Checkpoint> OpenGolden(const std::string& name);

// The experts of `spec` of that checkpoint. `backend` outlives them.
std::unique_ptr<HostedExperts> LoadGolden(const std::string& name, const std::string& spec,
                                          Backend* backend);

// [num_rows, hidden_size] finite values of `dtype`, different in every element for every seed.
std::vector<std::byte> MakeRows(int64_t num_rows, int64_t hidden_size, DType dtype, int seed);

// What the backend itself answers to a task: [num_pairs, hidden_size] of its dtype.
std::vector<std::byte> ComputeDirectly(const HostedExperts& experts, const ExpertTask& task);

// The rows of an answer to a task of that checkpoint, [num_rows, hidden_size].
std::vector<std::byte> AnswerBytes(const HostedExperts& experts, const ExpertTaskResult& result);

// A task for `layer` on rows that outlive it: pairs[i] are the row indices of expert_ids[i].
ExpertTask MakeTask(const HostedExperts& experts, const std::vector<std::byte>& rows, int layer,
                    const std::vector<int32_t>& expert_ids,
                    const std::vector<std::vector<int32_t>>& pairs);

// One value that another thread gives; Wait fails the test after a minute without one.
template <typename T>
class Awaited {
 public:
  void Set(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_sets_;
    if (!value_.has_value()) value_.emplace(std::move(value));
    changed_.notify_all();
  }
  // The first value.
  const T& Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool given =
        changed_.wait_for(lock, std::chrono::minutes(1), [this] { return value_.has_value(); });
    if (!given) FailNobodyAnswered();
    return *value_;
  }
  bool has_value() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_.has_value();
  }
  int num_sets() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return num_sets_;
  }

 private:
  [[noreturn]] static void FailNobodyAnswered();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;  // guarded by mutex_
  int num_sets_ = 0;        // likewise
};

[[noreturn]] void AbortNobodyAnswered();

template <typename T>
void Awaited<T>::FailNobodyAnswered() {
  AbortNobodyAnswered();
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_EXPERT_WORKER_FIXTURES_H_
