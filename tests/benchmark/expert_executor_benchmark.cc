// What merging is worth: N streams that each send a batch of 4 rows, two experts a row, and the
// next one as soon as it is answered, to an executor that merges what waits, and to one that does
// not. Experts of hidden size 2048, intermediate size 7168, in bf16: 88 MB each, eight of them, so
// each reading comes from memory.
//
// Time is of eight batches of each stream, `batch_time` of one batch. `experts_a_batch`: readings
// of an expert's weights for each batch; `batches_merged`: batches in a computation.
#include <benchmark/benchmark.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "expert_worker/expert_executor.h"
#include "kernels/backend.h"
#include "tests/benchmark/or_exit.h"
#include "tests/benchmark/synthetic_experts.h"

namespace tramontane {
namespace {

constexpr int kHiddenSize = 2'048;
constexpr int kIntermediateSize = 7'168;
constexpr int kNumExperts = 8;
constexpr int kRowsPerBatch = 4;
constexpr int kRounds = 8;  // batches that each stream sends in one iteration

const HostedExperts& Experts() {
  static Backend* const backend = ValueOrExit(CreateCpuBackend({})).release();
  static const HostedExperts* const experts = [] {
    const auto checkpoint = OpenSyntheticExperts(kHiddenSize, kIntermediateSize, kNumExperts);
    const ExpertSet all = ValueOrExit(ExpertSet::Parse("all", 1, kNumExperts));
    return ValueOrExit(HostedExperts::Load(checkpoint, all, backend)).release();
  }();
  return *experts;
}

// Rows of ones; two experts a row, drawn at random.
ExpertTask MakeBatch(const std::vector<BFloat16>& row, uint64_t stream, std::mt19937& random) {
  std::vector<std::vector<int32_t>> rows_of_expert(kNumExperts);
  for (int32_t r = 0; r < kRowsPerBatch; ++r) {
    const size_t first = random() % kNumExperts;
    const size_t second = (first + 1 + random() % (kNumExperts - 1)) % kNumExperts;
    rows_of_expert[first].push_back(r);
    rows_of_expert[second].push_back(r);
  }
  ExpertTask task;
  task.stream = stream;
  task.rows.assign(kRowsPerBatch, reinterpret_cast<const std::byte*>(row.data()));
  for (int32_t expert = 0; expert < kNumExperts; ++expert) {
    const std::vector<int32_t>& rows = rows_of_expert[static_cast<size_t>(expert)];
    if (rows.empty()) continue;
    task.expert_ids.push_back(expert);
    task.rows_per_expert.push_back(static_cast<int32_t>(rows.size()));
    task.row_indices.insert(task.row_indices.end(), rows.begin(), rows.end());
  }
  return task;
}

// Counts computations and the experts that they read. Called from the executor's thread; read when
// it is idle.
class ReadingCounter final : public ExpertObserver {
 public:
  void OnMerge(int num_tasks, int64_t /*num_rows*/) override {
    EndMerge();
    ++computations;
    batches += num_tasks;
  }
  void OnRows(int /*layer*/, int expert, int64_t /*num_rows*/) override { experts_.insert(expert); }
  void EndMerge() {
    readings += static_cast<int64_t>(experts_.size());
    experts_.clear();
  }

  int64_t computations = 0;
  int64_t batches = 0;
  int64_t readings = 0;

 private:
  std::set<int> experts_;  // of the last computation
};

// Streams that send their next batch when the last one is answered.
class Streams {
 public:
  Streams(ExpertExecutor* executor, int num_streams)
      : executor_(executor), row_(kHiddenSize, ToBFloat16(1.0f)) {
    std::mt19937 random(1);
    for (int s = 0; s < num_streams; ++s) {
      for (int b = 0; b < kRounds; ++b) {
        batches_.push_back(MakeBatch(row_, static_cast<uint64_t>(s), random));
      }
    }
  }

  // Returns when every stream has sent all its batches and has the answers.
  void Run() {
    unanswered_ = batches_.size();
    for (size_t first = 0; first < batches_.size(); first += kRounds) Send(first);
    std::unique_lock<std::mutex> lock(mutex_);
    answered_.wait(lock, [this] { return unanswered_ == 0; });
  }

 private:
  void Send(size_t i) {
    executor_->Submit(batches_[i], [this, i](absl::StatusOr<ExpertTaskResult> result) {
      ExitUnless(result.status());
      if ((i + 1) % kRounds != 0) Send(i + 1);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--unanswered_ == 0) answered_.notify_all();
    });
  }

  ExpertExecutor* const executor_;
  const std::vector<BFloat16> row_;
  std::vector<ExpertTask> batches_;  // [num_streams * kRounds]
  std::mutex mutex_;
  std::condition_variable answered_;
  size_t unanswered_ = 0;  // guarded by mutex_
};

void BM_Streams(benchmark::State& state) {
  const int num_streams = static_cast<int>(state.range(0));
  const bool merge = state.range(1) != 0;
  ReadingCounter counter;
  ExpertExecutorOptions options;
  if (!merge) options.max_merged_rows = 1;
  ExpertExecutor executor(&Experts(), &counter, options);
  Streams streams(&executor, num_streams);
  for (auto _ : state) streams.Run();
  executor.Drain();
  counter.EndMerge();
  const auto batches = static_cast<double>(counter.batches);
  state.counters["batch_time"] =
      benchmark::Counter(batches, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["experts_a_batch"] = static_cast<double>(counter.readings) / batches;
  state.counters["batches_merged"] = batches / static_cast<double>(counter.computations);
}

BENCHMARK(BM_Streams)
    ->ArgNames({"streams", "merge"})
    ->ArgsProduct({{1, 2, 4, 8}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
