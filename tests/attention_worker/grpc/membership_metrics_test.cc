#include "attention_worker/grpc/membership_metrics.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/attention_worker/grpc/metric_values.h"

namespace tramontane {
namespace {

class MembershipMetricsTest : public testing::Test {
 protected:
  static WorkerSnapshot Worker(const std::string& address, WorkerState state,
                               int64_t num_probe_failures = 0, int64_t num_returns = 0) {
    WorkerSnapshot worker;
    worker.address = address;
    worker.state = state;
    worker.num_probe_failures = num_probe_failures;
    worker.num_returns = num_returns;
    if (num_probe_failures > 0) worker.last_error = absl::DeadlineExceededError("silent");
    return worker;
  }
  double Workers(const std::string& state) {
    return MetricValue(*registry_, "tramontane_expert_workers", {{"state", state}});
  }

  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  MembershipMetrics metrics_{registry_, /*num_layers=*/1, /*num_experts=*/2};
};

TEST_F(MembershipMetricsTest, WorkersAreCountedByTheirState) {
  metrics_.OnWorker(Worker("a", WorkerState::kServing));
  metrics_.OnWorker(Worker("b", WorkerState::kConnecting));
  metrics_.OnWorker(Worker("b", WorkerState::kServing));
  EXPECT_EQ(Workers("serving"), 2);
  EXPECT_EQ(Workers("connecting"), 0);
  metrics_.OnWorkerGone("a");
  EXPECT_EQ(Workers("serving"), 1);
}

TEST_F(MembershipMetricsTest, ProbeFailuresAndReturnsAreCountedOnce) {
  metrics_.OnWorker(Worker("a", WorkerState::kSetAside, 1, 0));
  metrics_.OnWorker(Worker("a", WorkerState::kSetAside, 1, 0));
  metrics_.OnWorker(Worker("a", WorkerState::kServing, 1, 1));
  metrics_.OnWorker(Worker("a", WorkerState::kServing, 1, 1));
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_worker_probe_failures_total",
                        {{"code", "DEADLINE_EXCEEDED"}}),
            1);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_worker_returns_total", {}), 1);
}

TEST_F(MembershipMetricsTest, AnExpertWithoutAWorkerHasNoReplica) {
  metrics_.OnPlacement(*BuildPlacement(1, 2, {}));
  EXPECT_EQ(
      MetricValue(*registry_, "tramontane_expert_replicas", {{"layer", "0"}, {"expert", "1"}}), 0);
}

}  // namespace
}  // namespace tramontane
