// Expert workers as processes that are killed and stopped while generations run.
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

constexpr size_t kStreams = 4;
constexpr uint32_t kTokens = 200;

class ExpertFailoverTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> worker_experts, std::vector<std::string> flags = {}) {
    ClusterOptions options;
    options.model = DemoModel();
    options.worker_experts = std::move(worker_experts);
    options.coordinator_flags = std::move(flags);
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  double Metric(const std::string& name, const std::string& labels = "") {
    const auto value = ReadMetric(cluster_->coordinator().metrics_address, name, labels);
    return value.ok() ? *value : 0;
  }

  ChildProcess& worker(size_t i) { return *cluster_->workers()[i].process; }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(ExpertFailoverTest, NoRequestNoticesAKilledReplica) {
  Start({"all", "all"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGKILL);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
}

TEST_F(ExpertFailoverTest, NoRequestNoticesReplicasThatOverlapAndDie) {
  Start({"0-4", "3-7", "all", "0-3"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGKILL);
  worker(1).Signal(SIGKILL);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
}

TEST_F(ExpertFailoverTest, NoRequestNoticesAReplicaThatIsSilentAndContinues) {
  Start({"all", "all"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(1).Signal(SIGSTOP);
  streams.Finish();
  EXPECT_GT(Metric("tramontane_expert_retries_total", "SILENT"), 0);
  worker(1).Signal(SIGCONT);
  ExpectAsAlone(cluster_->stub(), streams);
}

TEST_F(ExpertFailoverTest, NoRequestNoticesAReplicaThatShutsDown) {
  Start({"all", "all"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGTERM);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
}

TEST_F(ExpertFailoverTest, RequestsWaitForTheLastReplicaToComeBack) {
  Start({"all"});
  const std::string address = cluster_->workers()[0].address;
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGKILL);
  while (Metric("tramontane_expert_waiting") == 0) {
  }
  const absl::StatusOr<std::unique_ptr<ChildProcess>> next = ChildProcess::Start(
      "expert_worker",
      {absl::StrCat("--model=", DemoModel()), "--experts=all", absl::StrCat("--listen=", address)});
  ASSERT_TRUE(next.ok()) << next.status();
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
  EXPECT_EQ(Metric("tramontane_expert_waiting"), 0);
}

TEST_F(ExpertFailoverTest, ASlowSoleWorkerFailsNoRequest) {
  Start({"0-3", "4-7"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGSTOP);
  const double before = Metric("tramontane_step_duration_seconds_count");
  // Health checks of half a second pass meanwhile: longer than a batch's silence limit.
  EXPECT_FALSE(AwaitServing(cluster_->coordinator().address, false, absl::Seconds(1)).ok());
  EXPECT_LE(Metric("tramontane_step_duration_seconds_count"), before + 1);
  worker(0).Signal(SIGCONT);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
  EXPECT_EQ(Metric("tramontane_expert_workers_set_aside_total"), 0);
}

}  // namespace
}  // namespace tramontane
