// Between the step thread, which must never wait, and whoever delivers a generation to its client.
#ifndef TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_
#define TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "coordinator/generation_output.h"

namespace tramontane {

// A bounded queue of outputs of one generation; thread-safe. The step thread appends. A reader that
// lags makes the stream full, and then the scheduler leaves the sequence out of its steps until
// there is room again: neither the steps of others nor memory depend on how fast a client reads.
class TokenStream {
 public:
  // `capacity_tokens`: the stream is full from here on. `on_room` is called, without locks, when a
  // full stream has room again or the reader cancels; from the reader's thread.
  TokenStream(int64_t capacity_tokens, std::function<void()> on_room);

  // Reader. --------------------------------------------------------------------------------------
  struct Batch {
    GenerationOutput output;
    std::optional<absl::Status> end;  // the stream is over, and this was the last of it
  };
  // What has come since the last call, at most about `max_tokens` tokens of it; never waits.
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

  // Step thread. ---------------------------------------------------------------------------------
  void Append(GenerationOutput output);
  // Nothing follows. The first end counts.
  void End(absl::Status status);
  bool full() const;
  // Why the reader cancelled; OK where it did not.
  absl::Status cancelled() const;

 private:
  void NotifyReady();

  const int64_t capacity_tokens_;
  const std::function<void()> on_room_;

  mutable std::mutex mutex_;
  std::function<void()> ready_ ABSL_GUARDED_BY(mutex_);
  std::deque<GenerationOutput> outputs_ ABSL_GUARDED_BY(mutex_);
  int64_t queued_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  absl::Status cancelled_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TOKEN_STREAM_H_
