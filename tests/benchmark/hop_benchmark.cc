// The price of one expert hop: the same batches through the executor of this process and through a
// real worker on loopback, with experts so small that compute is next to nothing. Hidden size 4096,
// bf16: Mixtral 8x7B's rows of 8 KiB, two pairs a row as top-2 gives one worker at worst.
//
// Times are medians of single hops in microseconds, as seen by the thread that sends and waits:
// round_trip, and its parts as HopTiming has them. `woken` is what the parts leave: until the
// waiting thread runs again.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "attention_worker/grpc/grpc_expert_client.h"
#include "expert_worker/grpc/expert_service.h"
#include "proto/serving/listener.h"
#include "tests/benchmark/or_exit.h"
#include "tests/benchmark/synthetic_experts.h"

namespace tramontane {
namespace {

// A worker and a client of it, in one process.
struct Hop {
  Hop() {
    CpuBackendOptions backend_options;
    backend_options.num_threads = 1;
    backend = ValueOrExit(CreateCpuBackend(backend_options));
    const auto checkpoint =
        OpenSyntheticExperts(4'096, /*intermediate_size=*/32, /*num_experts=*/2);
    const ExpertSet set = ValueOrExit(ExpertSet::Parse("all", 1, 2));
    experts = ValueOrExit(HostedExperts::Load(checkpoint, set, backend.get()));
    executor = std::make_unique<ExpertExecutor>(experts.get(), nullptr, options);
    service = std::make_unique<ExpertService>(experts.get(), executor.get(), options);
    ListenerOptions listener_options;
    listener_options.address = "127.0.0.1:0";
    listener_options.max_message_bytes = MaxExpertMessageBytes(*experts, options);
    listener = ValueOrExit(Listener::Start(listener_options, service.get(), ConfigureExpertServer));
    ExpertWorkerExpectation expected;
    expected.digest = checkpoint->digest();
    expected.num_layers = 1;
    expected.num_experts = 2;
    expected.hidden_size = 4'096;
    expected.intermediate_size = 32;
    client = ValueOrExit(ConnectExpertWorker(listener->address(), expected, {}));
  }

  const ExpertExecutorOptions options;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<HostedExperts> experts;
  std::unique_ptr<ExpertExecutor> executor;
  std::unique_ptr<ExpertService> service;
  std::unique_ptr<Listener> listener;
  std::shared_ptr<ExpertClient> client;
};

Hop& TheHop() {
  static Hop* const hop = new Hop;  // lives until the process ends
  return *hop;
}

// num_rows rows of zeros, each for both experts.
struct Batch {
  explicit Batch(int32_t num_rows) : rows(static_cast<size_t>(num_rows) * 4'096 * 2) {
    for (int expert = 0; expert < 2; ++expert) {
      for (int32_t row = 0; row < num_rows; ++row) row_indices.push_back(row);
    }
    rows_per_expert = {num_rows, num_rows};
  }
  std::vector<std::byte> rows;
  const std::vector<int32_t> expert_ids = {0, 1};
  std::vector<int32_t> rows_per_expert;
  std::vector<int32_t> row_indices;
};

// Wakes the thread that waits, as a dispatcher does.
template <typename T>
class Handover {
 public:
  void Give(T value) {
    const std::lock_guard<std::mutex> lock(mutex_);
    value_ = std::move(value);
    given_.notify_one();
  }
  T Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    given_.wait(lock, [this] { return value_.has_value(); });
    T value = *std::move(value_);
    value_.reset();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable given_;
  std::optional<T> value_;  // guarded by mutex_
};

class Medians {
 public:
  explicit Medians(std::vector<const char*> names)
      : names_(std::move(names)), samples_(names_.size()) {}
  void Add(const std::vector<absl::Duration>& sample) {
    for (size_t i = 0; i < sample.size(); ++i) {
      samples_[i].push_back(absl::ToDoubleMicroseconds(sample[i]));
    }
  }
  void Report(benchmark::State& state) {
    for (size_t i = 0; i < names_.size(); ++i) {
      auto middle = samples_[i].begin() + static_cast<ptrdiff_t>(samples_[i].size() / 2);
      std::nth_element(samples_[i].begin(), middle, samples_[i].end());
      state.counters[names_[i]] = *middle;
    }
  }

 private:
  const std::vector<const char*> names_;
  std::vector<std::vector<double>> samples_;
};

void BM_InProcess(benchmark::State& state) {
  Hop& hop = TheHop();
  const Batch batch(static_cast<int32_t>(state.range(0)));
  Medians medians({"round_trip_us", "queue_us", "compute_us"});
  Handover<absl::StatusOr<ExpertTaskResult>> handover;
  for (auto _ : state) {
    const absl::Time start = absl::Now();
    ExpertTask task;
    for (int64_t row = 0; row < state.range(0); ++row) {
      task.rows.push_back(batch.rows.data() + row * 4'096 * 2);
    }
    task.expert_ids = batch.expert_ids;
    task.rows_per_expert = batch.rows_per_expert;
    task.row_indices = batch.row_indices;
    hop.executor->Submit(std::move(task), [&handover](absl::StatusOr<ExpertTaskResult> result) {
      handover.Give(std::move(result));
    });
    const ExpertTaskResult result = ValueOrExit(handover.Take());
    medians.Add({absl::Now() - start, result.queue, result.compute});
  }
  medians.Report(state);
}

void BM_Loopback(benchmark::State& state) {
  Hop& hop = TheHop();
  const Batch rows(static_cast<int32_t>(state.range(0)));
  Medians medians({"round_trip_us", "beyond_compute_us", "serialize_us", "network_us", "queue_us",
                   "compute_us", "woken_us"});
  Handover<absl::StatusOr<ExpertBatchResult>> handover;
  for (auto _ : state) {
    const absl::Time start = absl::Now();
    ExpertBatch batch;
    batch.num_rows = state.range(0);
    batch.hidden_size = 4'096;
    batch.rows = rows.rows.data();
    batch.expert_ids = rows.expert_ids;
    batch.rows_per_expert = rows.rows_per_expert;
    batch.row_indices = rows.row_indices;
    batch.deadline = start + absl::Seconds(30);
    hop.client->Execute(std::move(batch), [&handover](absl::StatusOr<ExpertBatchResult> result) {
      handover.Give(std::move(result));
    });
    const HopTiming timing = ValueOrExit(handover.Take()).timing;
    const absl::Duration total = absl::Now() - start;
    medians.Add({total, total - timing.compute, timing.serialize, timing.network, timing.queue,
                 timing.compute,
                 total - timing.serialize - timing.network - timing.queue - timing.compute});
  }
  medians.Report(state);
}

BENCHMARK(BM_InProcess)->Arg(1)->Arg(32)->Arg(512)->UseRealTime();
BENCHMARK(BM_Loopback)->Arg(1)->Arg(32)->Arg(512)->UseRealTime();

}  // namespace
}  // namespace tramontane

BENCHMARK_MAIN();
