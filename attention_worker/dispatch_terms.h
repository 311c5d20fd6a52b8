// What the dispatches of all layers have in common.
#ifndef TRAMONTANE_ATTENTION_WORKER_DISPATCH_TERMS_H_
#define TRAMONTANE_ATTENTION_WORKER_DISPATCH_TERMS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "attention_worker/arrival_pump.h"
#include "attention_worker/expert_directory.h"
#include "attention_worker/expert_wait.h"
#include "attention_worker/row_buffer_pool.h"
#include "attention_worker/silence_limit.h"
#include "attention_worker/step_limit.h"
#include "attention_worker/step_observer.h"
#include "model/dtype.h"

namespace tramontane {

struct ExpertDispatcherOptions {
  DType row_dtype = DType::kBF16;
  int max_tokens = 0;                          // of one step, at most
  absl::Duration timeout = absl::Seconds(30);  // of one batch; zero: none
  // For a worker with an expert that nobody hosts; zero: none is waited for.
  absl::Duration expert_wait_timeout = absl::Seconds(30);
  // Of that time, what one step waits before it ends with ABORTED, to be given again.
  absl::Duration expert_wait_slice = absl::Seconds(1);
  // Times the expected latency of a batch after which a second worker gets its rows too; 0: never.
  double hedge_after = 0;
  // Brings answers in while the step thread waits for them. Null: only other threads do.
  ArrivalPump* arrivals = nullptr;
};

// A step that is given again comes within milliseconds: a wait that nobody went on with for so long
// was left, as by a client that cancelled.
inline absl::Duration ForgetWaitAfter(const ExpertDispatcherOptions& options) {
  return std::max(absl::Seconds(3), 3 * options.expert_wait_slice);
}

// The step thread's, but for late_answers and step_limit.
struct DispatchTerms {
  const int64_t hidden_size;
  const ExpertDispatcherOptions options;
  ExpertDirectory* const directory;
  StepObserver* const observer;
  RowBufferPool row_buffers;
  SilenceLimit silence_limit{};
  ExpertWait expert_wait{observer, ForgetWaitAfter(options)};
  StepLimit step_limit{};
  const std::shared_ptr<std::atomic<int64_t>> late_answers =
      std::make_shared<std::atomic<int64_t>>(0);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_DISPATCH_TERMS_H_
