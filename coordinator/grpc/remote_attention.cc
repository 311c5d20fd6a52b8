#include "coordinator/grpc/remote_attention.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "attention_worker/grpc/placement_messages.h"
#include "coordinator/time_limits.h"
#include "model/log.h"

namespace tramontane {
namespace {

WorkerState StateOf(const AttentionSlot& slot, const GrpcAttentionClient& client) {
  if (slot.leaving() || client.draining()) return WorkerState::kDraining;
  if (client.connected()) return WorkerState::kServing;
  return client.attempted() ? WorkerState::kGone : WorkerState::kConnecting;
}

}  // namespace

RemoteAttention::RemoteAttention(RemoteAttentionOptions options, CoordinatorMetrics* metrics,
                                 std::function<void(bool ready)> on_ready)
    : options_([this, &options] {
        options.client.on_change = [this] { NoteChange(); };
        return std::move(options);
      }()),
      metrics_(metrics),
      on_ready_(std::move(on_ready)),
      lookups_(options_.addresses, [this] { NoteChange(); }) {
  // So that clients() has a slot for each worker from the beginning.
  UpdateWorkers(lookups_.TakeFirst());
  if (workers().empty()) FreeSlot();
  thread_ = std::thread([this] { Watch(); });
}

RemoteAttention::~RemoteAttention() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  condition_.notify_all();
  thread_.join();
  std::vector<std::unique_ptr<AttentionSlot>> slots;
  const std::lock_guard<std::mutex> lock(mutex_);
  slots.swap(slots_);  // clients call on_change to their end: not under the lock
}

std::vector<AttentionClient*> RemoteAttention::clients() {
  std::vector<AttentionClient*> clients;
  const std::lock_guard<std::mutex> scheduler_lock(scheduler_mutex_);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) clients.push_back(slot.get());
  num_given_ = clients.size();
  return clients;
}

void RemoteAttention::set_scheduler(std::function<void()> wake, AddFunction add) {
  {
    const std::lock_guard<std::mutex> lock(scheduler_mutex_);
    wake_ = std::move(wake);
    add_ = std::move(add);
  }
  TellScheduler();
}

std::vector<std::shared_ptr<GrpcAttentionClient>> RemoteAttention::workers() const {
  std::vector<std::shared_ptr<GrpcAttentionClient>> workers;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) {
    if (std::shared_ptr<GrpcAttentionClient> client = slot->client()) {
      workers.push_back(std::move(client));
    }
  }
  return workers;
}

absl::Status RemoteAttention::readiness() const {
  std::vector<std::string> troubles;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) {
    const absl::Status ready = slot->readiness();
    if (ready.ok()) return absl::OkStatus();
    if (!slot->free()) troubles.emplace_back(ready.message());
  }
  for (const auto& [target, why] : unresolved_) troubles.push_back(why);
  if (troubles.empty()) troubles.emplace_back("none is listed");
  return NoneIsReady(std::move(troubles));
}

bool RemoteAttention::AwaitFirstAttempts(absl::Duration timeout) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return condition_.wait_for(lock, absl::ToChronoMicroseconds(timeout),
                             [this] { return all_attempted_; });
}

AttentionSlot* RemoteAttention::FreeSlot() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) {
    if (slot->free()) return slot.get();
  }
  slots_.push_back(std::make_unique<AttentionSlot>(options_.client.expected.kv_block_size));
  return slots_.back().get();
}

void RemoteAttention::UpdateWorkers(WorkerLookups::Found found) {
  std::set<std::string> missing = std::move(found.addresses);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    unresolved_ = std::move(found.unresolved);
    for (const auto& slot : slots_) {
      const std::shared_ptr<GrpcAttentionClient> client = slot->client();
      if (client == nullptr) continue;
      const bool listed = missing.erase(client->address()) != 0;
      if (!listed && !slot->leaving()) {
        Log(LogLevel::kInfo, "attention worker leaves", {{"worker", client->address()}});
      }
      slot->SetLeaving(!listed);
    }
  }
  for (const std::string& address : missing) {
    Log(LogLevel::kInfo, "attention worker found", {{"worker", address}});
    FreeSlot()->Assign(std::make_shared<GrpcAttentionClient>(address, options_.client));
  }
}

void RemoteAttention::FreeSlots() {
  std::vector<AttentionSlot*> leaving;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& slot : slots_) {
      if (slot->leaving()) leaving.push_back(slot.get());
    }
  }
  for (AttentionSlot* slot : leaving) {
    const std::string address = slot->client()->address();  // this thread alone frees slots
    if (!slot->FreeIfDone(slot->left_at() + options_.leave_timeout)) continue;
    Log(LogLevel::kInfo, "attention worker gone", {{"worker", address}});
    const auto remaining = workers();
    if (std::none_of(remaining.begin(), remaining.end(),
                     [&](const auto& worker) { return worker->address() == address; })) {
      metrics_->RemoveAttentionWorker(address);
    }
  }
}

void RemoteAttention::CompareKernels(
    const std::vector<std::shared_ptr<GrpcAttentionClient>>& workers) {
  std::string first;
  for (const auto& client : workers) {
    const std::string kernels = client->backend();
    if (first.empty()) first = kernels;
    if (kernels.empty() || kernels == first) {
      warned_.erase(client->address());
    } else if (std::exchange(warned_[client->address()], kernels) != kernels) {
      Log(LogLevel::kWarning,
          "attention worker has other kernels: last bits may depend on placement",
          {{"worker", client->address()}, {"expected", first}, {"found", kernels}});
    }
  }
}

void RemoteAttention::NoteStates() {
  const absl::Time now = absl::Now();
  std::map<const GrpcAttentionClient*, Noted> noted;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) {
    const std::shared_ptr<GrpcAttentionClient> client = slot->client();
    if (client == nullptr) continue;
    const auto before = noted_.find(client.get());
    Noted& one = noted[client.get()];
    if (before != noted_.end()) one = before->second;
    const WorkerState state = StateOf(*slot, *client);
    if (before == noted_.end() || one.state != state) {
      one.state = state;
      one.since = now;
    }
    const absl::Status ready = client->readiness();
    if (!ready.ok() && client->attempted() && ready != one.last_error) {
      one.last_error = ready;
      one.last_error_at = now;
    }
  }
  noted_.swap(noted);
}

std::vector<v1::PlacedAttentionWorker> RemoteAttention::Placement() const {
  const absl::Time now = absl::Now();
  std::vector<v1::PlacedAttentionWorker> workers;
  std::vector<std::shared_ptr<GrpcAttentionClient>> held;  // let go without the lock
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& slot : slots_) {
    const auto& client = held.emplace_back(slot->client());
    const auto found = noted_.find(client.get());
    if (client == nullptr || found == noted_.end()) continue;
    const Noted& noted = found->second;
    v1::PlacedAttentionWorker& worker = workers.emplace_back();
    worker.set_address(client->address());
    worker.set_state(ToMessage(noted.state));
    worker.set_state_seconds(absl::ToDoubleSeconds(now - noted.since));
    if (!noted.last_error.ok()) {
      worker.set_last_error(std::string(noted.last_error.message()));
      worker.set_last_error_seconds(absl::ToDoubleSeconds(now - noted.last_error_at));
    }
    worker.set_backend(client->backend());
    worker.set_num_sequences(static_cast<uint32_t>(slot->num_sequences()));
    const KvCacheUsage usage = client->kv_cache_usage();
    worker.set_num_kv_blocks(static_cast<uint64_t>(usage.num_blocks));
    worker.set_num_free_kv_blocks(static_cast<uint64_t>(usage.num_free_blocks));
  }
  return workers;
}

void RemoteAttention::TellScheduler() {
  const std::lock_guard<std::mutex> scheduler_lock(scheduler_mutex_);
  std::vector<AttentionClient*> added;
  if (add_ != nullptr) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (; num_given_ < slots_.size(); ++num_given_) added.push_back(slots_[num_given_].get());
  }
  for (AttentionClient* slot : added) add_(slot);
  if (wake_ != nullptr) wake_();
}

void RemoteAttention::Report() {
  const std::vector<std::shared_ptr<GrpcAttentionClient>> all = workers();
  bool all_attempted = true;
  for (const auto& client : all) {
    all_attempted = all_attempted && client->attempted();
    metrics_->SetAttentionWorkerUp(client->address(), client->connected());
  }
  CompareKernels(all);
  NoteStates();
  const absl::Status ready = readiness();
  if (ready.ok() != was_ready_) {
    was_ready_ = ready.ok();
    Log(was_ready_ ? LogLevel::kInfo : LogLevel::kWarning,
        was_ready_ ? "an attention worker is ready" : "no attention worker is ready",
        {{"reason", ready.message()}});
  }
  on_ready_(ready.ok());
  TellScheduler();
  const std::lock_guard<std::mutex> lock(mutex_);
  all_attempted_ = all_attempted;
  condition_.notify_all();
}

void RemoteAttention::NoteChange() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_ = true;
  }
  condition_.notify_all();
}

void RemoteAttention::Watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    changed_ = false;
    lock.unlock();
    if (std::optional<WorkerLookups::Found> found = lookups_.Take()) {
      UpdateWorkers(*std::move(found));
    }
    FreeSlots();
    Report();
    lock.lock();
    // Those that leave are looked at again and again.
    condition_.wait_for(lock, absl::ToChronoMicroseconds(options_.addresses.list_interval),
                        [this] { return changed_ || stopping_; });
  }
}

}  // namespace tramontane
