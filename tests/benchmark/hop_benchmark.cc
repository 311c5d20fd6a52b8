// The price of one expert hop: the same batches through the executor of this process and through a
// real worker on loopback, with experts so small that compute is next to nothing. Hidden size 4096,
// bf16: Mixtral 8x7B's rows of 8 KiB, two pairs a row as top-2 gives one worker at worst.
//
// Times are medians of single hops in microseconds, as seen by the thread that sends and waits:
// round_trip, and its parts as HopTiming has them. `woken` is what the parts leave: until the
// waiting thread runs again.
//
// BM_TwoProcesses is a single token's hop as servers have it: the worker is a process of its own,
// its batch takes 150 us (where a processor computes as where it waits for a device, its thread is
// awake), and the client does something else for 65 us between hops, as attention on a device
// takes. Its arguments are --hop_spin_us, of both processes, and whether the worker listens on a
// Unix socket.
#include <benchmark/benchmark.h>

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/answer_box.h"
#include "attention_worker/grpc/grpc_expert_client.h"
#include "expert_worker/grpc/expert_service.h"
#include "proto/serving/listener.h"
#include "proto/serving/polling.h"
#include "proto/serving/process.h"
#include "tests/benchmark/or_exit.h"
#include "tests/benchmark/synthetic_experts.h"

namespace tramontane {
namespace {

// Intermediate sizes.
constexpr int kSmall = 32;         // compute is next to nothing
constexpr int kLikeADevice = 192;  // takes about as long as a device would

std::shared_ptr<const Checkpoint> TheCheckpoint(int intermediate_size) {
  return OpenSyntheticExperts(4'096, intermediate_size, /*num_experts=*/2);
}

std::shared_ptr<ExpertClient> Connect(const std::string& address, int intermediate_size,
                                      std::shared_ptr<StreamPump> pump = nullptr) {
  ExpertWorkerExpectation expected;
  expected.digest = TheCheckpoint(intermediate_size)->digest();
  expected.num_layers = 1;
  expected.num_experts = 2;
  expected.hidden_size = 4'096;
  expected.intermediate_size = intermediate_size;
  GrpcExpertClientOptions options;
  options.pump = std::move(pump);
  return ValueOrExit(ConnectExpertWorker(address, expected, options));
}

// A worker that listens.
struct Worker {
  explicit Worker(int intermediate_size, absl::Duration spin = absl::ZeroDuration(),
                  const std::string& listen = "127.0.0.1:0") {
    CpuBackendOptions backend_options;
    backend_options.num_threads = 1;
    backend = ValueOrExit(CreateCpuBackend(backend_options));
    const ExpertSet set = ValueOrExit(ExpertSet::Parse("all", 1, 2));
    experts =
        ValueOrExit(HostedExperts::Load(TheCheckpoint(intermediate_size), set, backend.get()));
    executor = std::make_unique<ExpertExecutor>(experts.get(), nullptr, options);
    service = std::make_unique<ExpertService>(experts.get(), executor.get(), options);
    ListenerOptions listener_options;
    listener_options.address = listen;
    listener_options.max_message_bytes = MaxExpertMessageBytes(*experts, options);
    listener = ValueOrExit(
        Listener::StartLoop(listener_options, service->Methods(), spin, ConfigureExpertServer));
  }

  const ExpertExecutorOptions options;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<HostedExperts> experts;
  std::unique_ptr<ExpertExecutor> executor;
  std::unique_ptr<ExpertService> service;
  std::unique_ptr<Listener> listener;
};

// A worker and a client of it, in one process.
struct Hop {
  Worker worker{kSmall};
  std::shared_ptr<ExpertClient> client = Connect(worker.listener->address(), kSmall);
};

struct Transport {
  int64_t spin_us;
  bool on_file;
};

constexpr std::array<Transport, 6> kTransports = {
    {{0, false}, {200, false}, {1'000, false}, {0, true}, {200, true}, {1'000, true}}};

// Workers in processes of their own, which end with this one; each starts when it is first asked
// for.
class OtherProcess {
 public:
  // Before there are threads.
  static void ForkAll() {
    const pid_t parent = getpid();
    for (size_t i = 0; i < kTransports.size(); ++i) {
      Pipes& pipes = all_[i];
      if (pipe(pipes.wish) != 0 || pipe(pipes.address) != 0) std::exit(1);
      if (fork() == 0) Run(parent, pipes, kTransports[i]);
    }
  }

  static void RemoveFiles() {
    for (const Transport& transport : kTransports) unlink(PathOf(getpid(), transport).c_str());
  }

  // The address of the one with this transport.
  static std::string With(const Transport& transport) {
    size_t i = 0;
    while (kTransports[i].spin_us != transport.spin_us ||
           kTransports[i].on_file != transport.on_file) {
      ++i;
    }
    Pipes& pipes = all_[i];
    if (pipes.known.empty()) {
      char address[128];
      if (write(pipes.wish[1], "", 1) != 1) std::exit(1);
      const ssize_t size = read(pipes.address[0], address, sizeof(address));
      if (size <= 0) std::exit(1);
      pipes.known.assign(address, static_cast<size_t>(size));
    }
    return pipes.known;
  }

 private:
  struct Pipes {
    int wish[2];
    int address[2];
    std::string known;
  };

  static std::string PathOf(pid_t parent, const Transport& transport) {
    return absl::StrCat("/tmp/hop_benchmark_", parent, "_", transport.spin_us, ".sock");
  }

  [[noreturn]] static void Run(pid_t parent, const Pipes& pipes, const Transport& transport) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(0);  // it has ended already, as with --benchmark_list_tests
    char wish = 0;
    if (read(pipes.wish[0], &wish, 1) != 1) std::_Exit(0);
    PollOwnConnections();  // as servers do
    const Worker worker(
        kLikeADevice, absl::Microseconds(transport.spin_us),
        transport.on_file ? absl::StrCat("unix:", PathOf(parent, transport)) : "127.0.0.1:0");
    const std::string& address = worker.listener->address();
    if (write(pipes.address[1], address.data(), address.size()) <= 0) std::_Exit(1);
    for (;;) pause();
  }

  static inline std::array<Pipes, kTransports.size()> all_;
};

Hop& TheHop() {
  static Hop* const hop = new Hop;  // lives until the process ends
  return *hop;
}

// num_rows rows of zeros, each for both experts.
struct Batch {
  explicit Batch(int32_t num_rows_in_it)
      : num_rows(num_rows_in_it), rows(static_cast<size_t>(num_rows) * 4'096 * 2) {
    for (int expert = 0; expert < 2; ++expert) {
      for (int32_t row = 0; row < num_rows; ++row) row_indices.push_back(row);
    }
    rows_per_expert = {num_rows, num_rows};
  }
  ExpertBatch ToSend(absl::Time now) const {
    ExpertBatch batch;
    batch.num_rows = num_rows;
    batch.hidden_size = 4'096;
    batch.rows = rows.data();
    batch.expert_ids = expert_ids;
    batch.rows_per_expert = rows_per_expert;
    batch.row_indices = row_indices;
    batch.deadline = now + absl::Seconds(30);
    return batch;
  }

  const int32_t num_rows;
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

const std::vector<const char*> kParts = {"round_trip_us", "beyond_compute_us", "serialize_us",
                                         "network_us",    "queue_us",          "compute_us",
                                         "woken_us"};

std::vector<absl::Duration> PartsOf(absl::Duration total, const HopTiming& timing) {
  return {total,
          total - timing.compute,
          timing.serialize,
          timing.network,
          timing.queue,
          timing.compute,
          total - timing.serialize - timing.network - timing.queue - timing.compute};
}

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
    hop.worker.executor->Submit(
        std::move(task),
        [&handover](absl::StatusOr<ExpertTaskResult> result) { handover.Give(std::move(result)); });
    const ExpertTaskResult result = ValueOrExit(handover.Take());
    medians.Add({absl::Now() - start, result.queue, result.compute});
  }
  medians.Report(state);
}

void BM_Loopback(benchmark::State& state) {
  Hop& hop = TheHop();
  const Batch rows(static_cast<int32_t>(state.range(0)));
  Medians medians(kParts);
  Handover<absl::StatusOr<ExpertBatchResult>> handover;
  for (auto _ : state) {
    const absl::Time start = absl::Now();
    hop.client->Execute(rows.ToSend(start), [&handover](absl::StatusOr<ExpertBatchResult> result) {
      handover.Give(std::move(result));
    });
    const HopTiming timing = ValueOrExit(handover.Take()).timing;
    const absl::Duration total = absl::Now() - start;
    medians.Add(PartsOf(total, timing));
  }
  medians.Report(state);
}

void BM_TwoProcesses(benchmark::State& state) {
  const Transport transport{state.range(0), state.range(1) != 0};
  const auto pump = std::make_shared<StreamPump>(absl::Microseconds(transport.spin_us));
  const std::shared_ptr<ExpertClient> client =
      Connect(OtherProcess::With(transport), kLikeADevice, pump);
  const Batch row(1);
  Medians medians(kParts);
  // What a coordinator has as well.
  ListenerOptions listener_options;
  listener_options.address = "127.0.0.1:0";
  const auto listener = ValueOrExit(Listener::Start(listener_options, nullptr));
  for (auto _ : state) {
    for (const absl::Time end = absl::Now() + absl::Microseconds(65); absl::Now() < end;) {
    }
    const auto box = std::make_shared<AnswerBox>(pump.get());
    const absl::Time start = absl::Now();
    client->Execute(row.ToSend(start), [box](absl::StatusOr<ExpertBatchResult> result) {
      box->Put(0, std::move(result));
    });
    std::vector<ArrivedAnswer> arrived = box->TakeUntil(1, absl::InfiniteFuture());
    const HopTiming timing = ValueOrExit(std::move(arrived[0].answer)).timing;
    medians.Add(PartsOf(absl::Now() - start, timing));
  }
  medians.Report(state);
}

BENCHMARK(BM_InProcess)->Arg(1)->Arg(32)->Arg(512)->UseRealTime();
BENCHMARK(BM_Loopback)->Arg(1)->Arg(32)->Arg(512)->Arg(2048)->UseRealTime();
BENCHMARK(BM_TwoProcesses)
    ->ArgsProduct({{0, 200, 1'000}, {0, 1}})
    ->ArgNames({"spin_us", "unix"})
    ->UseRealTime();

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) {
  tramontane::IgnoreLockOrder();  // as both ends do
  tramontane::OtherProcess::ForkAll();
  tramontane::PollOwnConnections();  // as this end does
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  tramontane::OtherProcess::RemoveFiles();
  return 0;
}
