#include "coordinator/token_stream.h"

#include <utility>

#include "model/check.h"

namespace tramontane {

TokenStream::TokenStream(int64_t capacity_tokens, std::function<void()> on_room,
                         int num_completions)
    : capacity_tokens_(capacity_tokens),
      on_room_(std::move(on_room)),
      outputs_(static_cast<size_t>(num_completions)),
      num_unfinished_(num_completions) {
  TRAMONTANE_CHECK(capacity_tokens_ > 0 && num_completions > 0);
}

std::deque<GenerationOutput>* TokenStream::NextQueueLocked() {
  for (size_t tried = 0; tried < outputs_.size(); ++tried) {
    std::deque<GenerationOutput>& queue = outputs_[next_queue_];
    next_queue_ = (next_queue_ + 1) % outputs_.size();
    if (!queue.empty()) return &queue;
  }
  return nullptr;
}

TokenStream::Batch TokenStream::Take(int64_t max_tokens) {
  Batch batch;
  bool made_room = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool was_full = queued_tokens_ >= capacity_tokens_;
    int64_t taken = 0;
    std::deque<GenerationOutput>* const queue = NextQueueLocked();
    while (queue != nullptr && !queue->empty()) {
      const int64_t next = queue->front().num_tokens();
      if (taken > 0 && taken + next > max_tokens) break;
      taken += next;
      AppendOutput(std::move(queue->front()), batch.output);
      queue->pop_front();
      --num_queued_;
    }
    queued_tokens_ -= taken;
    if (num_queued_ == 0) batch.end = end_;
    made_room = was_full && queued_tokens_ < capacity_tokens_;
  }
  if (made_room && on_room_) on_room_();
  return batch;
}

void TokenStream::SetReadyCallback(std::function<void()> ready) {
  bool is_ready = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready_.swap(ready);
    is_ready = ready_ != nullptr && (num_queued_ > 0 || end_.has_value());
  }
  if (is_ready) NotifyReady();
}

void TokenStream::Cancel(absl::Status status) {
  TRAMONTANE_CHECK(!status.ok());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_.has_value()) return;
    for (std::deque<GenerationOutput>& queue : outputs_) queue.clear();
    num_queued_ = 0;
    queued_tokens_ = 0;
    cancelled_ = status;
    end_ = std::move(status);
  }
  if (on_room_) on_room_();
  NotifyReady();
}

void TokenStream::Append(GenerationOutput output) {
  if (output.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_.has_value()) return;
    queued_tokens_ += output.num_tokens();
    ++num_queued_;
    outputs_[static_cast<size_t>(output.completion_index)].push_back(std::move(output));
  }
  NotifyReady();
}

void TokenStream::End(absl::Status status) {
  bool others_are_to_leave = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --num_unfinished_;
    if (end_.has_value()) return;
    if (!status.ok()) {
      cancelled_ = status;
      others_are_to_leave = num_unfinished_ > 0;
    } else if (num_unfinished_ > 0) {
      return;
    }
    end_ = std::move(status);
  }
  if (others_are_to_leave && on_room_) on_room_();
  NotifyReady();
}

bool TokenStream::ended() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return end_.has_value();
}

bool TokenStream::full() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return queued_tokens_ >= capacity_tokens_;
}

absl::Status TokenStream::cancelled() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return cancelled_;
}

void TokenStream::NotifyReady() {
  std::function<void()> ready;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ready = ready_;
  }
  if (ready) ready();
}

}  // namespace tramontane
