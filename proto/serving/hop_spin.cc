#include "proto/serving/hop_spin.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "model/log.h"

ABSL_FLAG(int, hop_spin_us, 0,
          "Microseconds for which threads that wait for a message of the expert hop keep looking "
          "before they sleep, at most 10000; 0: they sleep at once. It takes up to a processor of "
          "either process while tokens are computed.");

namespace tramontane {
namespace {

constexpr int kMaxSpinUs = 10'000;
// Fewer have other things to do.
constexpr int kLeastProcessors = 4;

std::atomic<int> poll_spin_us{0};

using EpollWait = int (*)(int, epoll_event*, int, int);

EpollWait LibcEpollWait() {
  static const auto libc = reinterpret_cast<EpollWait>(dlsym(RTLD_NEXT, "epoll_wait"));
  return libc;
}

}  // namespace

absl::Status CheckHopSpinFlag() {
  const int spin_us = absl::GetFlag(FLAGS_hop_spin_us);
  if (spin_us >= 0 && spin_us <= kMaxSpinUs) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--hop_spin_us=", spin_us, ": expected 0 to ", kMaxSpinUs));
}

absl::Duration HopSpinFromFlag(int num_processors) {
  const int spin_us = absl::GetFlag(FLAGS_hop_spin_us);
  if (spin_us > 0 && num_processors < kLeastProcessors) {
    Log(LogLevel::kWarning, "--hop_spin_us is ignored on so few processors",
        {{"processors", num_processors}, {"expected", kLeastProcessors}});
    return absl::ZeroDuration();
  }
  return absl::Microseconds(spin_us);
}

void SetPollSpin(absl::Duration spin) {
  poll_spin_us.store(static_cast<int>(absl::ToInt64Microseconds(spin)), std::memory_order_relaxed);
}

}  // namespace tramontane

// As epoll_wait(2), for libraries too. A wait of no time is a look already.
extern "C" __attribute__((visibility("default"))) int epoll_wait(int epfd, epoll_event* events,
                                                                 int max_events, int timeout_ms) {
  using std::chrono::steady_clock;
  const auto libc = tramontane::LibcEpollWait();
  const int spin_us = tramontane::poll_spin_us.load(std::memory_order_relaxed);
  if (spin_us == 0 || timeout_ms == 0) return libc(epfd, events, max_events, timeout_ms);
  const auto start = steady_clock::now();
  auto end = start + std::chrono::microseconds(spin_us);
  if (timeout_ms > 0) end = std::min(end, start + std::chrono::milliseconds(timeout_ms));
  do {
    const int found = libc(epfd, events, max_events, 0);
    if (found != 0) return found;
    sched_yield();
  } while (steady_clock::now() < end);
  if (timeout_ms < 0) return libc(epfd, events, max_events, timeout_ms);
  const auto spent =
      std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start).count();
  return libc(epfd, events, max_events, static_cast<int>(std::max<int64_t>(0, timeout_ms - spent)));
}
