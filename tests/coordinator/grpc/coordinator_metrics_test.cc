#include "coordinator/grpc/coordinator_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "attention_worker/grpc/attention_metrics.h"
#include "attention_worker/grpc/membership_metrics.h"
#include "attention_worker/grpc/metric_families.h"
#include "expert_worker/expert_set.h"
#include "expert_worker/grpc/expert_worker_metrics.h"
#include "proto/serving/security_metrics.h"
#include "proto/serving/status_ports.h"
#include "tests/attention_worker/grpc/metric_values.h"

namespace tramontane {
namespace {

using testing::UnorderedElementsAreArray;

// Rows "| `name` | kind | unit | labels | meaning |" of the page.
std::map<std::string, std::set<std::string>> Documented() {
  std::ifstream page(std::string(TRAMONTANE_SOURCE_DIR) + "/docs/metrics.md");
  std::map<std::string, std::set<std::string>> documented;
  std::string line;
  while (std::getline(page, line)) {
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    if (cells.size() < 6 || cells[1].find("`tramontane_") == std::string::npos) continue;
    const std::vector<std::string> name = absl::StrSplit(cells[1], '`');
    std::set<std::string>& labels = documented[name[1]];
    const std::vector<std::string> parts = absl::StrSplit(cells[4], '`');
    for (size_t i = 1; i < parts.size(); i += 2) labels.insert(parts[i]);
  }
  return documented;
}

class CoordinatorMetricsTest : public testing::Test {
 protected:
  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics_{registry_};
};

TEST_F(CoordinatorMetricsTest, PageAndRegistriesAgree) {
  metrics_.SetAttentionWorkerUp("127.0.0.1:1", true);
  AttentionMetrics attention(registry_, 4, 8);
  attention.SetWorkerUp("127.0.0.1:1", true);
  attention.OnHop("127.0.0.1:1", 0, absl::UnavailableError("gone"), {});
  attention.OnRetry("127.0.0.1:1", 0, "SILENT");
  attention.OnSetAside("127.0.0.1:1", absl::UnavailableError("gone"));
  MembershipMetrics membership(registry_, 4, 8);
  WorkerSnapshot wrong;
  wrong.num_probe_failures = 1;
  membership.OnWorker(wrong);
  AddIdentityMetrics(*registry_, {});
  SecurityMetrics security(registry_);
  security.ShowExpiry("own.pem", absl::UnixEpoch());
  const ExpertWorkerMetrics worker(registry_, *ExpertSet::Parse("all", 4, 8));
  auto families = MetricFamilies(*registry_);
  const auto ports = StatusPorts::Start("", /*allow_plaintext_beyond_loopback=*/false);
  ASSERT_TRUE(ports.ok()) << ports.status();
  families.merge(MetricFamilies(*(*ports)->registry()));
  EXPECT_THAT(Documented(), UnorderedElementsAreArray(families));
}

TEST_F(CoordinatorMetricsTest, TimesAreInSeconds) {
  metrics_.OnEstimatedWait(absl::Seconds(2));
  metrics_.OnStarted(absl::Seconds(3));
  metrics_.OnFirstToken(absl::Seconds(4));
  metrics_.OnNextToken(absl::Milliseconds(50));
  metrics_.OnEnded(absl::OkStatus(), absl::Seconds(6));
  EXPECT_EQ(MetricValue(*registry_, "tramontane_estimated_wait_seconds", {}), 2);
  EXPECT_EQ(MetricSum(*registry_, "tramontane_request_queue_time_seconds", {}), 3);
  EXPECT_EQ(MetricSum(*registry_, "tramontane_time_to_first_token_seconds", {}), 4);
  EXPECT_EQ(MetricSum(*registry_, "tramontane_inter_token_latency_seconds", {}), 0.05);
  EXPECT_EQ(MetricSum(*registry_, "tramontane_e2e_request_latency_seconds", {}), 6);
}

TEST_F(CoordinatorMetricsTest, WhatWasCachedIsCountedBesideWhatWasAskedFor) {
  metrics_.OnAdmitted(100, 48);
  metrics_.OnRequeued();
  EXPECT_EQ(MetricValue(*registry_, "tramontane_prefix_cache_queries_total", {}), 100);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_prefix_cache_hits_total", {}), 48);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_requeued_requests_total", {}), 1);
}

TEST_F(CoordinatorMetricsTest, RequestsAreCountedByStatus) {
  metrics_.CountRequest(absl::StatusCode::kOk);
  metrics_.CountRequest(absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_requests_total", {{"status", "OK"}}), 1);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_requests_total", {{"status", "INVALID_ARGUMENT"}}),
            1);
}

TEST_F(CoordinatorMetricsTest, CacheUsageIsTheShareOfReservedBlocks) {
  metrics_.OnRound(2, 3, {.num_blocks = 10, .num_free_blocks = 4, .block_size = 16});
  EXPECT_DOUBLE_EQ(MetricValue(*registry_, "tramontane_kv_cache_usage_ratio", {}), 0.6);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_num_requests_running", {}), 2);
  EXPECT_EQ(MetricValue(*registry_, "tramontane_num_requests_waiting", {}), 3);
}

}  // namespace
}  // namespace tramontane
