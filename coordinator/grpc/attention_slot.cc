#include "coordinator/grpc/attention_slot.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/check.h"

namespace tramontane {
namespace {

absl::Status NoWorker() {
  return absl::UnavailableError("none is listed in the place of one that was");
}

}  // namespace

void AttentionSlot::Assign(std::shared_ptr<GrpcAttentionClient> client) {
  const std::lock_guard<std::mutex> lock(mutex_);
  TRAMONTANE_CHECK(client_ == nullptr);
  client_ = std::move(client);
  client_->EndStepsBy(steps_end_);
  sequences_.clear();
  leaving_ = false;
  ++num_changes_;
}

void AttentionSlot::SetLeaving(bool leaving) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (leaving_ == leaving) return;
  leaving_ = leaving;
  left_at_ = absl::Now();
}

bool AttentionSlot::FreeIfDone(absl::Time deadline) {
  std::shared_ptr<GrpcAttentionClient> done;  // its end waits for its thread: not under the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  if (client_ == nullptr) return true;
  const bool empty = sequences_.empty() || !client_->connected();
  if (!leaving_ || (!empty && absl::Now() < deadline)) return false;
  done = std::exchange(client_, nullptr);
  done->EndStepsBy(absl::InfinitePast());  // the step thread may still wait for one
  sequences_.clear();
  ++num_changes_;
  return true;
}

std::shared_ptr<GrpcAttentionClient> AttentionSlot::client() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return client_;
}

bool AttentionSlot::free() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return client_ == nullptr;
}

bool AttentionSlot::leaving() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return client_ != nullptr && leaving_;
}

int AttentionSlot::num_sequences() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(sequences_.size());
}

absl::Time AttentionSlot::left_at() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return left_at_;
}

void AttentionSlot::EndStepsBy(absl::Time end) {
  const std::lock_guard<std::mutex> lock(mutex_);
  steps_end_ = end;
  if (client_ != nullptr) client_->EndStepsBy(end);
}

absl::StatusOr<int> AttentionSlot::AddSequence(const SequenceSpec& spec) {
  std::shared_ptr<GrpcAttentionClient> client;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    client = client_;
    // Before the worker has it: FreeIfDone may look at any time.
    if (client != nullptr) sequences_.insert(spec.id);
  }
  if (client == nullptr) return NoWorker();
  absl::StatusOr<int> added = client->AddSequence(spec);
  if (!added.ok()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sequences_.erase(spec.id);
  }
  return added;
}

absl::StatusOr<StepResult> AttentionSlot::Step(const StepRequest& request) {
  const std::shared_ptr<GrpcAttentionClient> worker = client();
  if (worker == nullptr) return NoWorker();
  return worker->Step(request);
}

void AttentionSlot::ReleaseSequence(SequenceId id) {
  const std::shared_ptr<GrpcAttentionClient> worker = client();
  if (worker == nullptr) return;
  worker->ReleaseSequence(id);
  const std::lock_guard<std::mutex> lock(mutex_);
  sequences_.erase(id);
}

KvCacheUsage AttentionSlot::kv_cache_usage() const {
  const std::shared_ptr<GrpcAttentionClient> worker = client();
  return worker == nullptr ? KvCacheUsage{.block_size = kv_block_size_} : worker->kv_cache_usage();
}

absl::Status AttentionSlot::readiness() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (client_ == nullptr) return NoWorker();
  if (!leaving_) return client_->readiness();
  return absl::UnavailableError(
      absl::StrCat("attention worker ", client_->address(), " is not listed any more"));
}

uint64_t AttentionSlot::incarnation() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t of_client = client_ == nullptr ? 0 : client_->incarnation();
  return num_changes_ << 40 | of_client;
}

}  // namespace tramontane
