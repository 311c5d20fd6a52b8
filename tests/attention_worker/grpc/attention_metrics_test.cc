#include "attention_worker/grpc/attention_metrics.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <memory>
#include <vector>

#include "attention_worker/grpc/expert_load.h"
#include "tests/attention_worker/grpc/metric_values.h"

namespace tramontane {
namespace {

class AttentionMetricsTest : public testing::Test {
 protected:
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  AttentionMetrics metrics_{registry_, /*num_layers=*/4, /*num_experts=*/8};
};

TEST_F(AttentionMetricsTest, RoutedTokensAreCountedByLayerAndExpert) {
  const std::vector<int64_t> tokens = {5, 0, 3, 0, 0, 0, 0, 0};
  metrics_.OnRouted(2, tokens);
  metrics_.OnRouted(2, tokens);
  EXPECT_EQ(
      MetricValue(*registry_, "tramontane_expert_tokens_total", {{"layer", "2"}, {"expert", "0"}}),
      10);
  EXPECT_EQ(
      MetricValue(*registry_, "tramontane_expert_tokens_total", {{"layer", "2"}, {"expert", "1"}}),
      0);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_imbalance_ratio", {{"layer", "2"}}), 5.0);
}

TEST_F(AttentionMetricsTest, HopIsSplitIntoItsPhasesAndFailuresAreApart) {
  metrics_.OnHop("w:1", 0, absl::OkStatus(), {});
  metrics_.OnHop("w:1", 0, absl::UnavailableError("gone"), {});
  for (const char* phase : {"serialize", "network", "queue", "compute"}) {
    EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_hop_seconds", {{"phase", phase}}), 1);
  }
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_hop_failures_total",
                        {{"worker", "w:1"}, {"status", "UNAVAILABLE"}}),
            1);
}

TEST_F(AttentionMetricsTest, FailuresAreToldByReasonAndWorker) {
  metrics_.OnRetry("w:1", 0, "SILENT");
  metrics_.OnRetry("w:2", 1, "SILENT");
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_retries_total", {{"reason", "SILENT"}}), 2);
  metrics_.OnSetAside("w:1", absl::DeadlineExceededError("silent"));
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_workers_set_aside_total",
                        {{"worker", "w:1"}, {"status", "DEADLINE_EXCEEDED"}}),
            1);
  metrics_.OnHedge("w:1", 0);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_hedges_total", {}), 1);
  metrics_.OnLateAnswers(3);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_late_answers_total", {}), 3);
  metrics_.OnStall(0, absl::Seconds(1));
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_stall_seconds", {}), 1);
}

TEST_F(AttentionMetricsTest, AWaitForExpertsIsSeenWhileItLastsAndAfterwards) {
  metrics_.OnExpertWaitBegin(0);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_waiting", {}), 1);
  metrics_.OnExpertWaitEnd(0, absl::Seconds(2));
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_waiting", {}), 0);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_wait_seconds", {}), 1);
}

TEST_F(AttentionMetricsTest, WorkersComeAndGo) {
  metrics_.SetWorkerUp("w:1", true);
  metrics_.SetWorkerUp("w:1", false);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_expert_worker_up", {{"worker", "w:1"}}), 0);
  metrics_.OnHop("w:1", 0, absl::UnavailableError("gone"), HopTiming());
  metrics_.OnSetAside("w:1", absl::UnavailableError("gone"));
  metrics_.RemoveWorker("w:1");
  EXPECT_EQ(MetricFamilies(*registry_)["tramontane_expert_hop_failures_total"].size(), 0u);
  EXPECT_EQ(MetricFamilies(*registry_)["tramontane_expert_workers_set_aside_total"].size(), 0u);
  EXPECT_EQ(MetricFamilies(*registry_)["tramontane_expert_worker_up"].size(), 0u);
}

TEST(ExpertLoadTest, IsOneWhereEvenAndTheNumberOfExpertsWhereOneHasAll) {
  ExpertLoad load(4);
  EXPECT_EQ(load.Imbalance(), 0);
  load.Add(std::vector<int64_t>{3, 3, 3, 3});
  EXPECT_DOUBLE_EQ(load.Imbalance(), 1);
  ExpertLoad skewed(4);
  skewed.Add(std::vector<int64_t>{9, 0, 0, 0});
  EXPECT_DOUBLE_EQ(skewed.Imbalance(), 4);
}

TEST(ExpertLoadTest, OldTrafficFades) {
  ExpertLoad load(2);
  const auto window = static_cast<int64_t>(ExpertLoad::kWindow);
  load.Add(std::vector<int64_t>{window, 0});
  for (int i = 0; i < 20; ++i) load.Add(std::vector<int64_t>{window / 2, window / 2});
  // After 20 windows what came first weighs 2^-20.
  EXPECT_NEAR(load.Imbalance(), 1, 1e-4);
}

}  // namespace
}  // namespace tramontane
