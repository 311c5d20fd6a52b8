#include "proto/serving/hop_spin.h"

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "model/log.h"

ABSL_FLAG(int, hop_spin_us, 0,
          "Microseconds for which threads that wait for a message of the expert hop, or of the "
          "coordinator's to an attention worker, keep looking before they sleep, at most 10000; 0: "
          "they sleep at once. It takes up to a processor of each process while tokens are "
          "computed, of an attention worker two.");

namespace tramontane {
namespace {

constexpr int kMaxSpinUs = 10'000;
// Fewer have other things to do.
constexpr int kLeastProcessors = 4;

}  // namespace

absl::Status CheckHopSpinFlag() {
  const int spin_us = absl::GetFlag(FLAGS_hop_spin_us);
  if (spin_us >= 0 && spin_us <= kMaxSpinUs) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--hop_spin_us=", spin_us, ": expected 0 to ", kMaxSpinUs));
}

absl::Duration HopSpinFromFlag(int num_processors) {
  const int spin_us = absl::GetFlag(FLAGS_hop_spin_us);
  if (spin_us > 0 && num_processors < kLeastProcessors) {
    Log(LogLevel::kWarning, "--hop_spin_us is ignored on so few processors",
        {{"processors", num_processors}, {"expected", kLeastProcessors}});
    return absl::ZeroDuration();
  }
  return absl::Microseconds(spin_us);
}

}  // namespace tramontane
