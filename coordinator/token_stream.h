// Between the step thread, which must never wait, and whoever delivers a generation to its client.
#ifndef TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_
#define TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "coordinator/generation_output.h"

namespace tramontane {

// A bounded queue of outputs of one request, of all its completions; thread-safe. The step threads
// append. A reader that lags makes the stream full, and then the scheduler leaves the sequences out
// of its steps until there is room again: neither the steps of others nor memory depend on how fast
// a client reads.
class TokenStream {
 public:
  // `capacity_tokens`: the stream is full from here on, whichever completions they are of.
  // `on_room` is called, without locks, when a full stream has room again or the reader cancels,
  // from the reader's thread; and when one of several completions fails, from the step thread.
  TokenStream(int64_t capacity_tokens, std::function<void()> on_room, int num_completions = 1);

  // Reader. --------------------------------------------------------------------------------------
  struct Batch {
    GenerationOutput output;
    std::optional<absl::Status> end;  // the stream is over, and this was the last of it
  };
  // What has come of one completion, at most about `max_tokens` tokens of it; of the next one at
  // the next call. Never waits.
  Batch Take(int64_t max_tokens);
  // `ready` is called, without locks, whenever there may be something to Take; from the thread that
  // appends, so it must return at once. Called before this returns where there already is. Null
  // ends the calls, but for one that is under way in another thread.
  void SetReadyCallback(std::function<void()> ready);
  // Nothing more will be appended.
  bool ended() const;
  // The client is gone: what is queued is dropped, Take yields the end with `status` (not OK), and
  // the scheduler frees the sequence before its next step. Nothing once the stream has ended.
  void Cancel(absl::Status status);

  // Step threads. --------------------------------------------------------------------------------
  void Append(GenerationOutput output);
  // A completion is over. The stream ends with the last of them, or with the first that failed.
  void End(absl::Status status);
  bool full() const;
  // Why nothing more is wanted: the reader cancelled, or a completion failed. OK where neither is
  // so.
  absl::Status cancelled() const;

 private:
  void NotifyReady();
  // The queue to take from next; null where all are empty.
  std::deque<GenerationOutput>* NextQueueLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t capacity_tokens_;
  const std::function<void()> on_room_;

  mutable std::mutex mutex_;
  std::function<void()> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::deque<GenerationOutput>> outputs_ ABSL_GUARDED_BY(mutex_);  // [num_completions]
  size_t next_queue_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t num_queued_ ABSL_GUARDED_BY(mutex_) = 0;  // outputs
  int num_unfinished_ ABSL_GUARDED_BY(mutex_);      // completions
  int64_t queued_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  absl::Status cancelled_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_
