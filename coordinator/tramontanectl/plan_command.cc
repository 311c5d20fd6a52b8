#include "coordinator/tramontanectl/plan_command.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "coordinator/capacity/capacity_plan.h"
#include "coordinator/capacity/decode_bound.h"
#include "coordinator/tramontanectl/plan_flags.h"
#include "coordinator/tramontanectl/plan_json.h"
#include "coordinator/tramontanectl/plan_table.h"
#include "coordinator/tramontanectl/plan_values.h"
#include "model/config.h"
#include "proto/serving/process.h"

namespace tramontane {
namespace {

// For one user and for all of them, where the bandwidth is known.
std::vector<DecodeBound> Bounds(const CapacityPlan& plan, const ReadBandwidth& bandwidth) {
  if (bandwidth.expert_worker == 0) return {};
  std::vector<DecodeBound> bounds = {BoundDecode(plan, bandwidth, 1)};
  if (plan.request.users > 1) {
    bounds.push_back(BoundDecode(plan, bandwidth, plan.request.users));
  }
  return bounds;
}

absl::Status CheckSpeed(const std::vector<DecodeBound>& bounds, double tokens_per_s) {
  if (tokens_per_s == 0 || bounds.back().tokens_per_second >= tokens_per_s) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "--tokens_per_s=%g: all users together cannot have more than %.1f, by the bytes that a step "
      "reads: plan for more --replicas, for smaller shards (--experts_per_shard), or for machines "
      "that read faster",
      tokens_per_s, bounds.back().tokens_per_second));
}

absl::Status WriteValues(const std::string& path, const std::string& values) {
  std::ofstream file(path, std::ios::trunc);
  file << values;
  file.close();
  if (file) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--values_out=", path, ": cannot be written: ", std::strerror(errno)));
}

}  // namespace

int ShowPlan(bool json) {
  absl::StatusOr<PlanFlags> flags = PlanFromFlags();
  if (!flags.ok()) return ExitWith(flags.status());
  absl::StatusOr<MixtralConfig> model = ReadMixtralConfig(flags->model);
  if (!model.ok()) return ExitWith(model.status(), kExitCheckpoint);
  flags->request.model = *std::move(model);
  const absl::StatusOr<CapacityPlan> plan = PlanCapacity(flags->request);
  if (!plan.ok()) return ExitWith(plan.status());
  const std::vector<DecodeBound> bounds = Bounds(*plan, flags->bandwidth);
  const absl::Status fast_enough = CheckSpeed(bounds, flags->tokens_per_s);
  if (!fast_enough.ok()) return ExitWith(fast_enough);

  if (flags->values_out == "-") {
    std::cout << PlanValues(*plan);
    return kExitOk;
  }
  if (!flags->values_out.empty()) {
    const absl::Status written = WriteValues(flags->values_out, PlanValues(*plan));
    if (!written.ok()) return ExitWith(written);
  }
  std::cout << (json ? PlanJson(*plan, bounds) : PlanTable(*plan, bounds));
  return kExitOk;
}

}  // namespace tramontane
