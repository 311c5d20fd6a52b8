#include "proto/serving/hop_spin.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <thread>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/time/clock.h"

ABSL_DECLARE_FLAG(int, hop_spin_us);

namespace tramontane {
namespace {

class HopSpinTest : public ::testing::Test {
 protected:
  HopSpinTest() {
    epoll_event wanted = {};
    wanted.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &wanted), 0);
  }
  ~HopSpinTest() override {
    SetPollSpin(absl::ZeroDuration());
    absl::SetFlag(&FLAGS_hop_spin_us, 0);
    close(event_);
    close(epoll_);
  }
  void Signal() const {
    const uint64_t one = 1;
    EXPECT_EQ(write(event_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }
  int Wait(int timeout_ms) {
    epoll_event found;
    return epoll_wait(epoll_, &found, 1, timeout_ms);
  }
  void ExpectASignalIsFound() {
    std::thread signaller([this] { Signal(); });
    EXPECT_EQ(Wait(-1), 1);
    signaller.join();
  }

  const int epoll_ = epoll_create1(0);
  const int event_ = eventfd(0, 0);
};

TEST_F(HopSpinTest, WhatComesWhileAPollSpinsIsFound) {
  SetPollSpin(absl::Minutes(10));
  ExpectASignalIsFound();
}

// A poll that sleeps takes some microseconds of its processor.
TEST_F(HopSpinTest, APollStaysAwakeAsLongAsItIsTold) {
  const auto processor_time = [] {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return absl::DurationFromTimespec(now);
  };
  SetPollSpin(absl::Minutes(10));
  const absl::Duration start = processor_time();
  for (int i = 0; i < 20 && processor_time() - start < absl::Milliseconds(5); ++i) {
    EXPECT_EQ(Wait(50), 0);
  }
  EXPECT_GE(processor_time() - start, absl::Milliseconds(5));
}

TEST_F(HopSpinTest, WhatComesLaterWakesThePoll) {
  SetPollSpin(absl::Microseconds(1));
  ExpectASignalIsFound();
}

TEST_F(HopSpinTest, APollEndsAtItsTime) {
  for (const absl::Duration spin :
       {absl::ZeroDuration(), absl::Microseconds(1), absl::Minutes(10)}) {
    SetPollSpin(spin);
    EXPECT_EQ(Wait(0), 0);
    const absl::Time start = absl::Now();
    EXPECT_EQ(Wait(3), 0);
    EXPECT_GE(absl::Now() - start, absl::Milliseconds(2)) << spin;
  }
}

TEST_F(HopSpinTest, LibrariesCallIt) {
  EXPECT_EQ(dlsym(RTLD_DEFAULT, "epoll_wait"), reinterpret_cast<void*>(&epoll_wait));
}

TEST_F(HopSpinTest, AnErrorIsTold) {
  SetPollSpin(absl::Minutes(10));
  epoll_event found;
  EXPECT_EQ(epoll_wait(-1, &found, 1, -1), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_F(HopSpinTest, TheFlagIsIgnoredOnFewProcessors) {
  absl::SetFlag(&FLAGS_hop_spin_us, 200);
  EXPECT_EQ(HopSpinFromFlag(3), absl::ZeroDuration());
  EXPECT_EQ(HopSpinFromFlag(4), absl::Microseconds(200));
}

TEST_F(HopSpinTest, TheFlagHasARange) {
  EXPECT_TRUE(CheckHopSpinFlag().ok());
  for (const int spin_us : {-1, 10'001}) {
    absl::SetFlag(&FLAGS_hop_spin_us, spin_us);
    EXPECT_EQ(CheckHopSpinFlag().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace tramontane
