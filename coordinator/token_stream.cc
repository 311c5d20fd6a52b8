#include "coordinator/token_stream.h"

#include <utility>

#include "model/check.h"

namespace tramontane {

TokenStream::TokenStream(int64_t capacity_tokens, std::function<void()> on_room)
    : capacity_tokens_(capacity_tokens), on_room_(std::move(on_room)) {
  TRAMONTANE_CHECK(capacity_tokens_ > 0);
}

TokenStream::Batch TokenStream::Take(int64_t max_tokens) {
  Batch batch;
  bool made_room = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool was_full = queued_tokens_ >= capacity_tokens_;
    int64_t taken = 0;
    while (!outputs_.empty()) {
      const int64_t next = outputs_.front().num_tokens();
      if (taken > 0 && taken + next > max_tokens) break;
      taken += next;
      AppendOutput(std::move(outputs_.front()), batch.output);
      outputs_.pop_front();
    }
    queued_tokens_ -= taken;
    if (outputs_.empty()) batch.end = end_;
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
    is_ready = ready_ != nullptr && (!outputs_.empty() || end_.has_value());
  }
  if (is_ready) NotifyReady();
}

void TokenStream::Cancel(absl::Status status) {
  TRAMONTANE_CHECK(!status.ok());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_.has_value()) return;
    outputs_.clear();
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
    outputs_.push_back(std::move(output));
  }
  NotifyReady();
}

void TokenStream::End(absl::Status status) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (end_.has_value()) return;
    end_ = std::move(status);
  }
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
