#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/free_memory.h"
#include "kernels/rms_norm.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

// What a machine is like, until the end of a test.
class EmulatedMachineTest : public testing::Test {
 protected:
  ~EmulatedMachineTest() override {
    EmulateMachine({});
    EmulatedLimitMemory(size_t{1} << 32);
  }

  static absl::Status Create(int device = 0) {
    return CreateCudaBackend({DType::kBF16, device}).status();
  }

  // `x`: [3, 64], a row, its weights and where its norm goes.
  static void QueueNorm(Backend* backend, float* x) {
    RmsNormArgs args;
    args.input = x;
    args.weight = x + 64;
    args.output = x + 128;
    args.num_tokens = 1;
    args.hidden_size = 64;
    backend->RmsNorm(args);
  }
};

TEST_F(EmulatedMachineTest, AMachineWithoutADeviceIsAFailedPrecondition) {
  EmulatedMachine machine;
  machine.num_devices = 0;
  machine.count_error = cudaErrorNoDevice;
  EmulateMachine(machine);
  EXPECT_EQ(Create().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Create().message()), HasSubstr("this machine no device"));
}

TEST_F(EmulatedMachineTest, AMachineWithoutADriverIsOneWithoutADevice) {
  EmulatedMachine machine;
  machine.driver = 0;
  machine.count_error = cudaErrorInsufficientDriver;
  EmulateMachine(machine);
  EXPECT_THAT(std::string(Create().message()), HasSubstr("no driver"));
}

TEST_F(EmulatedMachineTest, AnOldDriverIsNamedBesideTheOneThatIsNeeded) {
  EmulatedMachine machine;
  machine.driver = 12040;
  machine.count_error = cudaErrorInsufficientDriver;
  EmulateMachine(machine);
  EXPECT_EQ(Create().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Create().message()),
              HasSubstr("expected a driver for CUDA 13.0 or later, found one for 12.4"));
}

TEST_F(EmulatedMachineTest, AnOldDeviceIsRefusedByItsComputeCapability) {
  EmulatedMachine machine;
  machine.major = 7;
  machine.minor = 5;
  EmulateMachine(machine);
  EXPECT_EQ(Create().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Create().message()), HasSubstr("8.0 or later, found 7.5 (emulated"));
}

TEST_F(EmulatedMachineTest, MemoryIsFreedOnItsOwnDeviceByAnyThread) {
  EmulatedMachine machine;
  machine.num_devices = 2;
  EmulateMachine(machine);
  auto backend = CreateCudaBackend({DType::kBF16, 1});
  ASSERT_TRUE(backend.ok()) << backend.status();
  absl::StatusOr<Buffer> own = (*backend)->Allocate(100);
  absl::StatusOr<Buffer> shared = (*backend)->AllocateShared(100);
  ASSERT_TRUE(own.ok() && shared.ok());
  // Of a thread that has set no device; the emulation checks the one that it frees on.
  std::thread([own = *std::move(own), shared = *std::move(shared)] {}).join();
}

TEST_F(EmulatedMachineTest, ADeviceThatIsLostWhileNothingRunsIsNoticedByWhoAsksForMemory) {
  for (const bool shared : {false, true}) {
    EmulateMachine({});
    const auto backend = CreateCudaBackend({DType::kBF16, 0});
    ASSERT_TRUE(backend.ok()) << backend.status();
    const auto allocate = [&] {
      return (shared ? (*backend)->AllocateShared(100) : (*backend)->Allocate(100)).status();
    };
    EmulatedMachine machine;
    machine.allocation_error = cudaErrorMemoryAllocation;
    EmulateMachine(machine);
    EXPECT_EQ(allocate().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_FALSE((*backend)->failed());
    machine.allocation_error = cudaErrorLaunchFailure;
    EmulateMachine(machine);
    EXPECT_EQ(allocate().code(), absl::StatusCode::kInternal);
    EXPECT_TRUE((*backend)->failed());
  }
}

TEST_F(EmulatedMachineTest, ALostDeviceIsNotOneWithoutMemory) {
  const auto backend = CreateCudaBackend({});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_TRUE(CheckFreeBytes(**backend, 1, "a test", "nothing").ok());
  EmulatedMachine machine;
  machine.allocation_error = cudaErrorLaunchFailure;
  EmulateMachine(machine);
  const absl::Status status = CheckFreeBytes(**backend, 1, "a test", "nothing");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("CUDA device 0: asking for its free memory"));
  EXPECT_TRUE((*backend)->failed());
}

TEST_F(EmulatedMachineTest, ADeviceThatIsNotThereIsAnInvalidArgument) {
  EXPECT_EQ(Create(1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Create(-1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(Create(0).ok());
}

TEST_F(EmulatedMachineTest, TooLittleMemorySaysWhatIsNeededAndWhatIsFree) {
  const auto backend = CreateCudaBackend({});
  ASSERT_TRUE(backend.ok());
  EmulatedLimitMemory(1000);
  const absl::Status status = (*backend)->Allocate(2000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected 2000 bytes of device memory, found 1000 free"));
}

TEST_F(EmulatedMachineTest, OperationsAreQueuedUntilFinish) {
  const auto backend = CreateCudaBackend({});
  ASSERT_TRUE(backend.ok());
  const auto rows = (*backend)->AllocateShared(64 * 4 * 2 + 64 * 4);
  ASSERT_TRUE(rows.ok());
  auto* const x = rows->as<float>();
  for (int i = 0; i < 128; ++i) x[i] = 1;
  QueueNorm(backend->get(), x);
  EXPECT_EQ(x[128], 0);
  EXPECT_TRUE((*backend)->Finish().ok());
  EXPECT_NEAR(x[128], 1, 1e-5);
}

TEST_F(EmulatedMachineTest, MemoryOfTheDeviceIsOutOfTheHostsReach) {
  CudaBackendOptions options;
  options.num_host_threads = 1;  // the process is about to fork
  const auto backend = CreateCudaBackend(options);
  ASSERT_TRUE(backend.ok());
  const auto own = (*backend)->Allocate(64), shared = (*backend)->AllocateShared(64);
  ASSERT_TRUE(own.ok() && shared.ok());
  shared->bytes()[0] = std::byte{1};
  (*backend)->Copy(shared->bytes(), own->bytes(), 64);
  ASSERT_TRUE((*backend)->Finish().ok());
  EXPECT_EXIT(own->bytes()[0] = std::byte{2}, testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(EmulatedMachineTest, MemoryThatIsGivenBackIsGivenAgain) {
  EmulatedLimitMemory(size_t{1} << 20);
  const auto backend = CreateCudaBackend({});
  ASSERT_TRUE(backend.ok());
  for (int round = 0; round < 5; ++round) {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 3; ++i) {
      auto buffer = (*backend)->Allocate(size_t{300} << 10);
      ASSERT_TRUE(buffer.ok());
      buffers.push_back(*std::move(buffer));
    }
    std::swap(buffers[0], buffers[static_cast<size_t>(round) % 3]);  // freed in any order
  }
  const auto free_bytes = (*backend)->FreeBytes();
  ASSERT_TRUE(free_bytes.ok());
  EXPECT_EQ(*free_bytes, int64_t{1} << 20);
}

// Norms of rows that grow by one each time, by two backends in a thread each.
TEST_F(EmulatedMachineTest, BackendsOfSeveralThreadsShareTheMachine) {
  const auto compute = [](float scale, bool* good) {
    const auto backend = CreateCudaBackend({});
    const auto rows = (*backend)->AllocateShared(3 * 64 * sizeof(float));
    auto* const x = rows->as<float>();
    *good = true;
    for (int round = 1; round <= 20; ++round) {
      for (int i = 0; i < 64; ++i) {
        x[i] = static_cast<float>(round);
        x[64 + i] = scale;
      }
      QueueNorm(backend->get(), x);
      *good &= (*backend)->Finish().ok();
      for (int i = 0; i < 64; ++i) *good &= std::abs(x[128 + i] - scale) < 1e-4f;
    }
  };
  bool good[2] = {};
  std::thread first(compute, 1.0f, &good[0]), second(compute, 2.0f, &good[1]);
  first.join();
  second.join();
  EXPECT_TRUE(good[0]);
  EXPECT_TRUE(good[1]);
}

}  // namespace
}  // namespace tramontane
