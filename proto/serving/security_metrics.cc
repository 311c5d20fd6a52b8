#include "proto/serving/security_metrics.h"

#include <optional>
#include <utility>

#include "model/log.h"
#include "model/steady_clock.h"

namespace tramontane {
namespace {

constexpr std::array<const char*, 5> kReasons = {"peer_name", "no_token", "unknown_token",
                                                 "request_rate", "concurrent_requests"};

}  // namespace

SecurityMetrics::SecurityMetrics(std::shared_ptr<prometheus::Registry> registry)
    : registry_(std::move(registry)),
      expiry_(prometheus::BuildGauge()
                  .Name("tramontane_tls_certificate_expiry_timestamp_seconds")
                  .Help("When the certificate in use expires, in seconds since 1970.")
                  .Register(*registry_)) {
  auto& failures = prometheus::BuildCounter()
                       .Name("tramontane_auth_failures_total")
                       .Help("Calls refused because of who made them, by reason.")
                       .Register(*registry_);
  for (size_t i = 0; i < kReasons.size(); ++i)
    failures_[i] = &failures.Add({{"reason", kReasons[i]}});
}

void SecurityMetrics::CountFailure(AuthFailure reason, std::string_view peer,
                                   std::string_view message) {
  const auto index = static_cast<size_t>(reason);
  failures_[index]->Increment();
  const std::optional<int64_t> left_out = limit_.Take(SteadyNow());
  if (!left_out.has_value()) return;
  Log(LogLevel::kWarning, "caller refused",
      {{"reason", kReasons[index]},
       {"peer", peer},
       {"message", message},
       {"lines_left_out", *left_out}});
}

void SecurityMetrics::ShowExpiry(const std::string& file, absl::Time not_after) {
  expiry_.Add({{"file", file}}).Set(absl::ToDoubleSeconds(not_after - absl::UnixEpoch()));
}

}  // namespace tramontane
