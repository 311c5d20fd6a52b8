// Expert workers as processes that are killed and stopped while generations run.
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/integration/cluster.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

constexpr size_t kStreams = 4;
constexpr uint32_t kTokens = 200;

class ExpertFailoverTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> worker_experts, std::vector<std::string> flags = {},
             int num_attention_workers = 0) {
    ClusterOptions options;
    options.model = DemoModel();
    options.worker_experts = std::move(worker_experts);
    options.num_attention_workers = num_attention_workers;
    options.attention_flags = flags;
    options.coordinator_flags = std::move(flags);
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  double Metric(const std::string& name, const std::string& labels = "") {
    const auto value = ReadMetric(cluster_->coordinator().metrics_address, name, labels);
    EXPECT_TRUE(value.ok() || absl::IsNotFound(value.status())) << value.status();
    return value.ok() ? *value : 0;
  }

  double Rows(size_t i) {
    const auto rows =
        ReadMetric(cluster_->workers()[i].metrics_address, "tramontane_expert_worker_rows_total");
    return rows.ok() ? *rows : 0;
  }
  // Of the two workers, the one that gets the rows: a small model's go to whichever answers sooner.
  size_t BusierWorker() {
    const double first = Rows(0), second = Rows(1);
    for (;;) {
      const double of_first = Rows(0) - first, of_second = Rows(1) - second;
      if (of_first + of_second > 100) return of_first > of_second ? 0 : 1;
    }
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
  const size_t silent = BusierWorker();
  worker(silent).Signal(SIGSTOP);
  streams.Finish();
  EXPECT_GT(Metric("tramontane_expert_retries_total", "SILENT"), 0);
  worker(silent).Signal(SIGCONT);
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
  // Long enough that they still run when this thread is late to kill.
  StoryStreams streams(*cluster_, kStreams, 2 * kTokens);
  streams.AwaitBegun();
  worker(0).Signal(SIGKILL);
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (Metric("tramontane_expert_waiting") == 0) {
    const double running = Metric("tramontane_num_requests_running");
    if (running > 0 && absl::Now() < deadline) continue;
    if (running == 0) streams.Finish();  // whose statuses tell why
    for (size_t i = 0; running == 0 && i < streams.size(); ++i) {
      ADD_FAILURE() << streams.status(i).error_code() << " " << streams.status(i).error_message();
    }
    FAIL() << "no request waits for the killed worker, of " << running << " that run";
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

// Whose only worker is silent in the middle of a step: without a limit of its own, that takes 30 s.
class DrainOfAStuckStepTest : public ExpertFailoverTest {
 protected:
  static constexpr absl::Duration kLongest = absl::Seconds(15);

  void GetStuck(int num_attention_workers) {
    Start({"all"}, {"--drain_timeout_s=2"}, num_attention_workers);
    streams_ = std::make_unique<StoryStreams>(*cluster_, kStreams, 400);
    streams_->AwaitBegun();
    worker(0).Signal(SIGSTOP);
  }

  static void ExpectExit(ChildProcess& process) {
    process.Signal(SIGTERM);
    const absl::StatusOr<ProcessOutput> output = process.Wait(kLongest);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(output->exit_code, 0) << output->stderr_text;
  }

  void ExpectUnavailable() {
    streams_->Finish();
    for (size_t i = 0; i < streams_->size(); ++i) {
      EXPECT_EQ(streams_->status(i).error_code(), grpc::StatusCode::UNAVAILABLE);
    }
  }

  std::unique_ptr<StoryStreams> streams_;
};

TEST_F(DrainOfAStuckStepTest, EndsTheCoordinatorInItsTime) {
  GetStuck(0);
  ExpectExit(*cluster_->coordinator().process);
  ExpectUnavailable();
}

TEST_F(DrainOfAStuckStepTest, EndsTheCoordinatorOfAttentionWorkersInItsTime) {
  GetStuck(1);
  ExpectExit(*cluster_->coordinator().process);
  ExpectUnavailable();
}

TEST_F(DrainOfAStuckStepTest, EndsTheAttentionWorkerInItsTimeAndLosesNoRequest) {
  GetStuck(2);
  ExpectExit(*cluster_->attention_workers()[0].process);
  worker(0).Signal(SIGCONT);
  streams_->Finish();
  for (size_t i = 0; i < streams_->size(); ++i) {
    EXPECT_TRUE(streams_->status(i).ok()) << streams_->status(i).error_message();
  }
}

}  // namespace
}  // namespace tramontane
