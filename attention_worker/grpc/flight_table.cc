#include "attention_worker/grpc/flight_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace tramontane {
namespace {

constexpr size_t kMaxFlights = 4'096;

}  // namespace

absl::StatusOr<uint64_t> FlightTable::Add(Flight flight, bool holds_rows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_.ok()) return closed_;
  if (entries_.size() >= kMaxFlights) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxFlights, " batches are in flight to one expert worker, the limit"));
  }
  const uint64_t id = ++last_id_;
  Entry& entry = entries_[id];
  entry.flight = std::move(flight);
  entry.holds_rows = holds_rows;
  return id;
}

void FlightTable::SetEncode(uint64_t id, absl::Duration encode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry != entries_.end()) entry->second.flight.encode = encode;
}

std::optional<FlightTable::Shape> FlightTable::Find(uint64_t id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.outcome.has_value()) return std::nullopt;
  const Flight& flight = entry->second.flight;
  return Shape{flight.row_dtype, flight.num_pairs, flight.hidden_size, flight.sent, flight.encode};
}

std::optional<LandedFlight> FlightTable::LandIfReady(
    std::unordered_map<uint64_t, Entry>::iterator entry) {
  if (entry->second.holds_rows || !entry->second.outcome.has_value()) return std::nullopt;
  LandedFlight landed{std::move(entry->second.flight.done), *std::move(entry->second.outcome)};
  entries_.erase(entry);
  return landed;
}

std::optional<LandedFlight> FlightTable::Settle(uint64_t id,
                                                absl::StatusOr<ExpertBatchResult> outcome) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end() || entry->second.outcome.has_value()) return std::nullopt;
  entry->second.outcome = std::move(outcome);
  entry->second.settled = absl::Now();
  return LandIfReady(entry);
}

std::optional<LandedFlight> FlightTable::Release(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return std::nullopt;
  entry->second.holds_rows = false;
  return LandIfReady(entry);
}

FlightTable::Expiry FlightTable::Expire(absl::Time now, const absl::Status& status) {
  Expiry expiry;
  expiry.next = absl::InfiniteFuture();
  expiry.held_since = absl::InfiniteFuture();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto current = entry++;  // landing erases it
    Entry& flight = current->second;
    if (!flight.outcome.has_value()) {
      if (now < flight.flight.deadline) {
        expiry.next = std::min(expiry.next, flight.flight.deadline);
        continue;
      }
      flight.outcome = status;
      flight.settled = now;
    }
    if (std::optional<LandedFlight> landed = LandIfReady(current)) {
      expiry.landed.push_back(*std::move(landed));
    } else {
      expiry.held.push_back(current->first);
      expiry.held_since = std::min(expiry.held_since, flight.settled);
    }
  }
  return expiry;
}

std::vector<LandedFlight> FlightTable::FailAll(const absl::Status& status) {
  std::vector<LandedFlight> all;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_.ok()) closed_ = status;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto current = entry++;
    if (!current->second.outcome.has_value()) {
      current->second.outcome = status;
      current->second.settled = absl::Now();
    }
    if (std::optional<LandedFlight> landed = LandIfReady(current)) {
      all.push_back(*std::move(landed));
    }
  }
  return all;
}

bool FlightTable::empty() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.empty();
}

}  // namespace tramontane
