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
#include "coordinator/grpc/expert_load.h"
#include "expert_worker/expert_set.h"
#include "expert_worker/grpc/expert_worker_metrics.h"
#include "tests/coordinator/demo_model.h"

namespace tramontane {
namespace {

using testing::UnorderedElementsAreArray;

// Name to label names, of every family in the registry.
std::map<std::string, std::set<std::string>> Families(prometheus::Registry& registry) {
  std::map<std::string, std::set<std::string>> families;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    std::set<std::string>& labels = families[family.name];
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) labels.insert(label.name);
    }
  }
  return families;
}

double Value(prometheus::Registry& registry, const std::string& name,
             const std::map<std::string, std::string>& labels) {
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::map<std::string, std::string> found;
      for (const auto& label : metric.label) found[label.name] = label.value;
      if (found != labels) continue;
      return family.type == prometheus::MetricType::Counter ? metric.counter.value
             : family.type == prometheus::MetricType::Gauge
                 ? metric.gauge.value
                 : static_cast<double>(metric.histogram.sample_count);
    }
  }
  ADD_FAILURE() << "no " << name;
  return -1;
}

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
  CoordinatorMetrics metrics_{registry_, DemoServedModel(), "1.2.3"};
};

TEST_F(CoordinatorMetricsTest, PageAndRegistriesAgree) {
  metrics_.SetWorkerUp("127.0.0.1:1", true);
  metrics_.OnHop("127.0.0.1:1", 0, absl::UnavailableError("gone"), {});
  const ExpertWorkerMetrics worker(registry_, *ExpertSet::Parse("all", 4, 8));
  EXPECT_THAT(Documented(), UnorderedElementsAreArray(Families(*registry_)));
}

TEST_F(CoordinatorMetricsTest, RoutedTokensAreCountedByLayerAndExpert) {
  const std::vector<int64_t> tokens = {5, 0, 3, 0, 0, 0, 0, 0};
  metrics_.OnRouted(2, tokens);
  metrics_.OnRouted(2, tokens);
  EXPECT_EQ(Value(*registry_, "tramontane_expert_tokens_total", {{"layer", "2"}, {"expert", "0"}}),
            10);
  EXPECT_EQ(Value(*registry_, "tramontane_expert_tokens_total", {{"layer", "2"}, {"expert", "1"}}),
            0);
  EXPECT_EQ(Value(*registry_, "tramontane_expert_imbalance_ratio", {{"layer", "2"}}), 5.0);
}

TEST_F(CoordinatorMetricsTest, HopIsSplitIntoItsPhasesAndFailuresAreApart) {
  metrics_.OnHop("w:1", 0, absl::OkStatus(), {});
  metrics_.OnHop("w:1", 0, absl::UnavailableError("gone"), {});
  for (const char* phase : {"serialize", "network", "queue", "compute"}) {
    EXPECT_EQ(Value(*registry_, "tramontane_expert_hop_seconds", {{"phase", phase}}), 1);
  }
  EXPECT_EQ(Value(*registry_, "tramontane_expert_hop_failures_total",
                  {{"worker", "w:1"}, {"status", "UNAVAILABLE"}}),
            1);
}

TEST_F(CoordinatorMetricsTest, WorkersComeAndGo) {
  metrics_.SetWorkerUp("w:1", true);
  metrics_.SetWorkerUp("w:1", false);
  EXPECT_EQ(Value(*registry_, "tramontane_expert_worker_up", {{"worker", "w:1"}}), 0);
  metrics_.RemoveWorker("w:1");
  EXPECT_EQ(Families(*registry_)["tramontane_expert_worker_up"].size(), 0u);
}

TEST_F(CoordinatorMetricsTest, RequestsAreCountedByStatus) {
  metrics_.CountRequest(absl::StatusCode::kOk);
  metrics_.CountRequest(absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Value(*registry_, "tramontane_requests_total", {{"status", "OK"}}), 1);
  EXPECT_EQ(Value(*registry_, "tramontane_requests_total", {{"status", "INVALID_ARGUMENT"}}), 1);
}

TEST_F(CoordinatorMetricsTest, CacheUsageIsTheShareOfReservedBlocks) {
  metrics_.OnRound(2, 3, {.num_blocks = 10, .num_free_blocks = 4, .block_size = 16});
  EXPECT_DOUBLE_EQ(Value(*registry_, "tramontane_kv_cache_usage_ratio", {}), 0.6);
  EXPECT_EQ(Value(*registry_, "tramontane_num_requests_running", {}), 2);
  EXPECT_EQ(Value(*registry_, "tramontane_num_requests_waiting", {}), 3);
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
