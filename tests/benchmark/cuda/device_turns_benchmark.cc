// device_turns_benchmark: what it costs that two processes use one device in turns, as a
// coordinator and an expert worker on one GPU do. Work that is next to nothing, queued and waited
// for: by one process twice, and by two processes once each, which tell each other by a flag in
// shared memory while both spin. What the second takes longer is the device's change of contexts,
// twice; under CUDA's multi-process service (MPS) there is none. Exits with 3 where there is no
// device.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/rms_norm.h"

namespace tramontane {
namespace {

constexpr int kWarmUp = 200;
constexpr int kTurns = 2'000;
constexpr int kExitNoDevice = 3;

// Whose turn it is; negative: no more, or a process failed.
struct Flag {
  std::atomic<int> turn{0};
};

// One small kernel after another.
class Device {
 public:
  explicit Device(Flag* flag) : flag_(flag) {
    absl::StatusOr<std::unique_ptr<Backend>> backend = CreateCudaBackend({});
    if (!backend.ok()) Fail(backend.status());
    backend_ = *std::move(backend);
    for (Buffer* buffer : {&input_, &weight_, &output_}) {
      absl::StatusOr<Buffer> allocated = backend_->Allocate(kHiddenSize * sizeof(float));
      if (!allocated.ok()) Fail(allocated.status());
      *buffer = *std::move(allocated);
    }
  }

  // Queues one, and waits for it.
  void Use() {
    backend_->RmsNorm({.input = input_.as<float>(),
                       .weight = weight_.as<float>(),
                       .output = output_.bytes(),
                       .output_dtype = DType::kBF16,
                       .num_tokens = 1,
                       .hidden_size = kHiddenSize,
                       .epsilon = 1e-5F});
    const absl::Status finished = backend_->Finish();
    if (!finished.ok()) Fail(finished);
  }

 private:
  static constexpr int64_t kHiddenSize = 4'096;

  [[noreturn]] void Fail(const absl::Status& status) {
    std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
    flag_->turn.store(-1);
    std::_Exit(status.code() == absl::StatusCode::kFailedPrecondition ? kExitNoDevice : 1);
  }

  Flag* const flag_;
  std::unique_ptr<Backend> backend_;
  Buffer input_, weight_, output_;  // of kHiddenSize
};

// False: no more.
bool AwaitTurn(const Flag& flag, int mine) {
  for (;;) {
    const int turn = flag.turn.load(std::memory_order_acquire);
    if (turn < 0) return false;
    if (turn == mine) return true;
  }
}

// The median microseconds of `use`, between whose calls the host waits for `pause`.
template <typename Use>
double MedianOf(std::chrono::microseconds pause, const Use& use) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> samples;
  for (int i = 0; i < kWarmUp + kTurns; ++i) {
    const auto start = Clock::now();
    use();
    const auto end = Clock::now();
    if (i >= kWarmUp)
      samples.push_back(std::chrono::duration<double, std::micro>(end - start).count());
    while (Clock::now() - end < pause) {
    }
  }
  std::nth_element(samples.begin(), samples.begin() + kTurns / 2, samples.end());
  return samples[kTurns / 2];
}

int Main() {
  void* const shared =
      mmap(nullptr, sizeof(Flag), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 1;
  Flag* const flag = new (shared) Flag;
  const pid_t other = fork();  // before either process knows the device
  if (other < 0) return 1;
  if (other == 0) {
    Device device(flag);
    while (AwaitTurn(*flag, 1)) {
      device.Use();
      flag->turn.store(0, std::memory_order_release);
    }
    return 0;
  }
  Device device(flag);
  for (const auto pause : {std::chrono::microseconds(0), std::chrono::microseconds(200)}) {
    const double alone = MedianOf(pause, [&] {
      device.Use();
      device.Use();
    });
    const double in_turns = MedianOf(pause, [&] {
      device.Use();
      int mine = 0;  // -1 once the other has failed
      if (!flag->turn.compare_exchange_strong(mine, 1, std::memory_order_acq_rel) ||
          !AwaitTurn(*flag, 0)) {
        std::exit(1);
      }
    });
    std::printf(
        "pause %3d us: one process %.1f us, two in turns %.1f us, a change of contexts %.1f us\n",
        static_cast<int>(pause.count()), alone, in_turns, (in_turns - alone) / 2);
  }
  flag->turn.store(-1);
  int status = 0;
  waitpid(other, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace tramontane

int main() { return tramontane::Main(); }
