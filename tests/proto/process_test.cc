#include "proto/serving/abseil_flag_types.h"

#include "proto/serving/failure_watch.h"
#include "proto/serving/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/synchronization/mutex.h"

ABSL_FLAG(int, test_number, 5, "A flag of this program.");

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StrEq;

std::vector<char*> Parse(std::vector<std::string> arguments) {
  static std::vector<std::string> kept;  // the positional arguments point into it
  kept = std::move(arguments);
  kept.insert(kept.begin(), "program");
  std::vector<char*> argv;
  for (std::string& argument : kept) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return ParseFlags(static_cast<int>(kept.size()), argv.data(), "Does something.");
}

// Each runs in a process of its own: the usage message may be set only once.
class ProcessDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ProcessDeathTest, GivesBackThePositionalArguments) {
  EXPECT_EXIT(
      {
        const std::vector<char*> rest = Parse({"one", "--test_number=7", "two"});
        const bool good = rest.size() == 2 && std::string(rest[0]) == "one" &&
                          std::string(rest[1]) == "two" && absl::GetFlag(FLAGS_test_number) == 7;
        std::exit(good ? 42 : 43);
      },
      ::testing::ExitedWithCode(42), "");
}

TEST_F(ProcessDeathTest, AnUnknownFlagIsAUsageError) {
  EXPECT_EXIT(Parse({"--no_such_flag=1"}), ::testing::ExitedWithCode(kExitUsage), "no_such_flag");
}

TEST_F(ProcessDeathTest, ABadValueIsAUsageError) {
  EXPECT_EXIT(Parse({"--test_number=many"}), ::testing::ExitedWithCode(kExitUsage), "test_number");
}

TEST_F(ProcessDeathTest, HelpIsNoError) {
  EXPECT_EXIT(Parse({"--help"}), ::testing::ExitedWithCode(kExitOk), "");
}

TEST_F(ProcessDeathTest, AFlagMayComeFromTheEnvironment) {
  EXPECT_EXIT(
      {
        setenv("FLAGS_test_number", "11", 1);
        Parse({"--fromenv=test_number"});
        std::exit(absl::GetFlag(FLAGS_test_number));
      },
      ::testing::ExitedWithCode(11), "");
}

[[noreturn]] void SleepForever() {
  for (;;) pause();
}

TEST_F(ProcessDeathTest, ATerminationSignalEndsAProcessThatLoads) {
  for (const int number : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          TakeTerminationSignals();
          kill(getpid(), number);
          SleepForever();
        },
        ::testing::ExitedWithCode(kExitInterrupted), "");
  }
}

TEST_F(ProcessDeathTest, ATerminationSignalIsHeldForWhoDrains) {
  EXPECT_EXIT(
      {
        TakeTerminationSignals();
        HoldTerminationSignal();
        if (TerminationHasBegun()) std::exit(1);
        kill(getpid(), SIGTERM);
        while (!TerminationHasBegun()) std::this_thread::yield();
        std::exit(WaitForTerminationSignal() == SIGTERM ? kExitOk : 1);
      },
      ::testing::ExitedWithCode(kExitOk), "");
}

TEST_F(ProcessDeathTest, ASecondTerminationSignalEndsAProcessThatDrains) {
  EXPECT_EXIT(
      {
        TakeTerminationSignals();
        HoldTerminationSignal();
        kill(getpid(), SIGTERM);
        if (WaitForTerminationSignal() != SIGTERM) std::exit(1);
        kill(getpid(), SIGTERM);
        SleepForever();
      },
      ::testing::ExitedWithCode(kExitInterrupted), "");
}

void LockInBothOrders() {
  absl::Mutex a, b;
  for (int i = 0; i < 2; ++i) {
    absl::Mutex& first = i == 0 ? a : b;
    absl::Mutex& second = i == 0 ? b : a;
    const absl::MutexLock holds_first(&first);
    const absl::MutexLock holds_second(&second);
  }
}

TEST_F(ProcessDeathTest, OrdersOfLocksDoNotEndIt) {
  EXPECT_EXIT(
      {
        IgnoreLockOrder();
        LockInBothOrders();
        std::exit(kExitOk);
      },
      ::testing::ExitedWithCode(kExitOk), "");
}

TEST_F(ProcessDeathTest, ADeviceThatFailsEndsTheProcessAndIsTheExitCode) {
  EXPECT_EXIT(
      {
        TakeTerminationSignals();
        HoldTerminationSignal();
        std::atomic<bool> failed = false;
        const FailureWatch watch([&failed] { return failed.load(); }, absl::Milliseconds(1));
        if (watch.ExitCode(kExitOk) != kExitOk) std::exit(1);
        failed = true;
        if (WaitForTerminationSignal() != SIGTERM) std::exit(1);
        std::exit(watch.ExitCode(kExitOk));
      },
      ::testing::ExitedWithCode(kExitDevice), "");
}

TEST_F(ProcessDeathTest, ADeviceThatFailsWhileTheProcessDrainsDoesNotCutThatOff) {
  EXPECT_EXIT(
      {
        TakeTerminationSignals();
        std::atomic<bool> failed = false;
        const FailureWatch watch([&failed] { return failed.load(); }, absl::Milliseconds(1));
        HoldTerminationSignal();
        kill(getpid(), SIGTERM);
        if (WaitForTerminationSignal() != SIGTERM) std::exit(1);
        failed = true;
        while (watch.ExitCode(kExitOk) != kExitDevice) std::this_thread::yield();
        std::exit(watch.ExitCode(kExitOk));
      },
      ::testing::ExitedWithCode(kExitDevice), "");
}

TEST(ProcessTest, StatusesMapToExitCodes) {
  EXPECT_EQ(ExitWith(absl::OkStatus()), kExitOk);
  EXPECT_EQ(ExitWith(absl::InvalidArgumentError("x")), kExitUsage);
  EXPECT_EQ(ExitWith(absl::UnavailableError("x")), kExitUnavailable);
  EXPECT_EQ(ExitWith(absl::InternalError("x")), kExitFailure);
  EXPECT_EQ(ExitWith(absl::NotFoundError("x"), kExitCheckpoint), kExitCheckpoint);
  EXPECT_EQ(ExitWithLoading(absl::NotFoundError("x"), kExitCheckpoint), kExitCheckpoint);
  EXPECT_EQ(ExitWithLoading(absl::ResourceExhaustedError("x"), kExitCheckpoint), kExitMemory);
}

TEST(ProcessTest, WritesTheErrorToStderr) {
  ::testing::internal::CaptureStderr();
  ExitWith(absl::UnavailableError("nobody there"));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), StrEq("error: nobody there\n"));
}

}  // namespace
}  // namespace tramontane
