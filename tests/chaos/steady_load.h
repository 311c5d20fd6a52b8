// Clients that ask for known answers, one request after the other, while something breaks.
#ifndef TRAMONTANE_TESTS_CHAOS_STEADY_LOAD_H_
#define TRAMONTANE_TESTS_CHAOS_STEADY_LOAD_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/inference.grpc.pb.h"

namespace tramontane {

struct SteadyLoadOptions {
  int num_clients = 8;
  int num_stories = 12;  // different requests, taken in turn
  uint32_t max_tokens = 120;
};

// What the clients saw of a span of time.
struct LoadReport {
  int64_t num_requests = 0;   // that ended in it
  int64_t num_failed = 0;     // of them: with a status that is not OK
  int64_t num_different = 0;  // of them: with other bits than the request has alone
  int64_t num_tokens = 0;     // streamed in it
  // Of any stream: the longest time without a message that ended in it, from the request's start.
  absl::Duration longest_stall;
  std::string first_failure;  // "" where none failed
};

// Thread-safe. Starts with the object; ends with it.
class SteadyLoad {
 public:
  // Asks for each story alone first: INTERNAL or the request's status where that fails.
  static absl::StatusOr<std::unique_ptr<SteadyLoad>> Start(v1::Inference::Stub* stub,
                                                           const SteadyLoadOptions& options);
  ~SteadyLoad();

  // Of [begin, end); to be called after `end`.
  LoadReport Report(absl::Time begin, absl::Time end) const;
  // Tokens a second of [begin, end).
  double Speed(absl::Time begin, absl::Time end) const;
  // Streams that have been without a message since before `time`, and still are, count as stalled.
  absl::Duration StalledNow(absl::Time now) const;

 private:
  struct Message {
    absl::Time time;
    absl::Duration stall;  // since the message before, or the request's start
    int32_t num_tokens = 0;
  };
  struct Ending {
    absl::Time time;
    absl::Status status;
    bool different = false;
  };

  SteadyLoad(v1::Inference::Stub* stub, const SteadyLoadOptions& options);
  void RunClient(int client);
  void Ask(int client, size_t story);

  v1::Inference::Stub* const stub_;
  const SteadyLoadOptions options_;
  std::vector<std::string> alone_;  // [num_stories] bits
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> next_story_{0};

  mutable std::mutex mutex_;
  std::vector<Message> messages_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ending> endings_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Time> last_message_ ABSL_GUARDED_BY(mutex_);  // [num_clients]

  std::vector<std::thread> clients_;  // last: they use all of the above
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_STEADY_LOAD_H_
