#include "attention_worker/grpc/flight_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

constexpr size_t kMaxFlights = 4'096;

}  // namespace

absl::StatusOr<uint64_t> FlightTable::Add(Flight flight) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_.ok()) return closed_;
  if (flights_.size() >= kMaxFlights) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxFlights, " batches are in flight to one expert worker, the limit"));
  }
  const uint64_t id = ++last_id_;
  flights_.emplace(id, std::move(flight));
  return id;
}

void FlightTable::SetEncode(uint64_t id, absl::Duration encode) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto flight = flights_.find(id);
  if (flight != flights_.end()) flight->second.encode = encode;
}

std::optional<FlightTable::Shape> FlightTable::Find(uint64_t id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = flights_.find(id);
  if (found == flights_.end()) return std::nullopt;
  const Flight& flight = found->second;
  return Shape{flight.row_dtype, flight.num_pairs, flight.hidden_size, flight.sent, flight.encode};
}

std::optional<LandedFlight> FlightTable::Land(uint64_t id,
                                              absl::StatusOr<ExpertBatchResult> outcome) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto flight = flights_.find(id);
  if (flight == flights_.end()) return std::nullopt;
  LandedFlight landed{std::move(flight->second.done), std::move(outcome)};
  flights_.erase(flight);
  return landed;
}

FlightTable::Expiry FlightTable::Expire(absl::Time now, const absl::Status& status) {
  Expiry expiry;
  expiry.next = absl::InfiniteFuture();
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto flight = flights_.begin(); flight != flights_.end();) {
    if (now < flight->second.deadline) {
      expiry.next = std::min(expiry.next, flight->second.deadline);
      ++flight;
      continue;
    }
    expiry.landed.push_back({std::move(flight->second.done), status});
    expiry.ids.push_back(flight->first);
    flight = flights_.erase(flight);
  }
  return expiry;
}

std::vector<LandedFlight> FlightTable::FailAll(const absl::Status& status) {
  std::vector<LandedFlight> all;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (closed_.ok()) closed_ = status;
  for (auto& [id, flight] : flights_) all.push_back({std::move(flight.done), status});
  flights_.clear();
  return all;
}

bool FlightTable::empty() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return flights_.empty();
}

}  // namespace tramontane
