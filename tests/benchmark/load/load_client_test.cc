// load_client against a real coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/process.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class LoadClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ClusterOptions options;
    options.model = DemoModel();
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = std::move(*cluster).release();
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  void SetUp() override { ASSERT_NE(cluster_, nullptr); }

  std::string report_path() const { return directory_.path() + "/load.json"; }

  std::vector<std::string> WithTarget(std::vector<std::string> arguments) const {
    arguments.push_back(absl::StrCat("--target=", cluster_->coordinator().address));
    arguments.push_back(absl::StrCat("--json_out=", report_path()));
    return arguments;
  }

  ProcessOutput Run(const std::vector<std::string>& arguments) const {
    const absl::StatusOr<ProcessOutput> output = RunProgram("load_client", WithTarget(arguments));
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : ProcessOutput();
  }

  json Report() const {
    std::ifstream file(report_path());
    return json::parse(file);
  }

  static Cluster* cluster_;
  const TemporaryDirectory directory_;
};

Cluster* LoadClientTest::cluster_ = nullptr;

TEST_F(LoadClientTest, ClosedLoopCountsEveryRequestAndToken) {
  const ProcessOutput output =
      Run({"--concurrency=3", "--num_requests=7", "--prompt_tokens=uniform:4:12",
           "--output_tokens=constant:6", "--shared_prefix_tokens=16", "--num_prefixes=2"});
  ASSERT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  EXPECT_THAT(output.stdout_text, HasSubstr("7 started, 7 ok"));
  const json point = Report()["points"][0];
  EXPECT_EQ(point["requests"]["started"], 7);
  EXPECT_EQ(point["requests"]["ok"], 7);
  EXPECT_EQ(point["requests"]["wrong_usage"], 0);
  EXPECT_TRUE(point["errors"].empty());
  EXPECT_EQ(point["peak_outstanding"], 3);
  EXPECT_EQ(point["tokens"]["output"], 7 * 6);
  EXPECT_GE(point["tokens"]["prompt"], 7 * (16 + 4));
  EXPECT_LE(point["tokens"]["prompt"], 7 * (16 + 12));
  EXPECT_EQ(point["window"]["output_tokens"], point["tokens"]["output"]);
  EXPECT_EQ(point["window"]["prompt_tokens"], point["tokens"]["prompt"]);
  EXPECT_EQ(point["latency_ms"]["ttft"]["count"], 7);
  EXPECT_EQ(point["latency_ms"]["itl"]["count"], 7 * 5);
  EXPECT_EQ(point["latency_ms"]["e2e"]["count"], 7);
}

TEST_F(LoadClientTest, SweepOfRatesRunsEachPointWithItsWarmUp) {
  const ProcessOutput output =
      Run({"--sweep_rates=200,400", "--num_requests=5", "--warmup_requests=2",
           "--prompt_tokens=constant:4", "--output_tokens=constant:3", "--seed=9"});
  ASSERT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  const json report = Report();
  EXPECT_EQ(report["configuration"]["seed"], 9);
  ASSERT_EQ(report["points"].size(), 2);
  for (const json& point : report["points"]) {
    EXPECT_EQ(point["mode"], "open");
    EXPECT_EQ(point["requests"]["ok"], 5);
    EXPECT_EQ(point["requests"]["warmup"], 2);
    EXPECT_EQ(point["tokens"]["output"], 5 * 3);
  }
}

TEST_F(LoadClientTest, CancelledStreamsAreNoErrors) {
  const ProcessOutput output = Run({"--concurrency=4", "--num_requests=8", "--cancel_fraction=1",
                                    "--output_tokens=constant:200", "--prompt_tokens=constant:4"});
  ASSERT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  const json point = Report()["points"][0];
  const json& requests = point["requests"];
  EXPECT_GT(requests["cancelled"], 0);
  // One that is done before its cancel arrives is OK.
  EXPECT_EQ(requests["cancelled"].get<int>() + requests["ok"].get<int>(), 8);
  EXPECT_TRUE(point["errors"].empty());
}

TEST_F(LoadClientTest, DeadlinesAreCountedByTheirStatus) {
  const ProcessOutput output =
      Run({"--concurrency=2", "--num_requests=2", "--deadline_s=0.000001", "--error_backoff_s=0"});
  EXPECT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  const json point = Report()["points"][0];
  EXPECT_EQ(point["requests"]["failed"], 2);
  EXPECT_EQ(point["errors"]["DEADLINE_EXCEEDED"]["count"], 2) << point["errors"].dump();
}

TEST_F(LoadClientTest, CtrlCEndsTheRunAndStillReports) {
  const absl::StatusOr<std::unique_ptr<ChildProcess>> client = ChildProcess::Start(
      "load_client", WithTarget({"--concurrency=2", "--num_requests=1000000",
                                 "--output_tokens=constant:16", "--prompt_tokens=constant:4"}));
  ASSERT_TRUE(client.ok()) << client.status();
  const std::string& metrics = cluster_->coordinator().metrics_address;
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (ReadMetric(metrics, "tramontane_num_requests_running").value_or(0) < 1 &&
         absl::Now() < deadline) {
  }
  (*client)->Signal(SIGINT);
  const absl::StatusOr<ProcessOutput> output = (*client)->Wait(absl::Minutes(1));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitInterrupted) << output->stderr_text;
  EXPECT_THAT(output->stdout_text, HasSubstr("concurrency 2 (interrupted)"));
  const json point = Report()["points"][0];
  EXPECT_EQ(point["interrupted"], true);
  EXPECT_EQ(point["requests"]["failed"], 0);
  EXPECT_EQ(point["requests"]["started"].get<int>(),
            point["requests"]["ok"].get<int>() + point["requests"]["unfinished"].get<int>());
}

TEST_F(LoadClientTest, BadFlagsAreAUsageError) {
  const ProcessOutput range = Run({"--concurrency=1", "--num_requests=1", "--cancel_fraction=2"});
  EXPECT_EQ(range.exit_code, kExitUsage);
  EXPECT_THAT(range.stderr_text, HasSubstr("--cancel_fraction=2: expected 0 to 1"));
  const ProcessOutput context =
      Run({"--concurrency=1", "--num_requests=1", "--prompt_tokens=constant:1000000"});
  EXPECT_EQ(context.exit_code, kExitUsage);
  EXPECT_THAT(context.stderr_text, HasSubstr("the model's context"));
  EXPECT_EQ(Run({"--no_such_flag"}).exit_code, kExitUsage);
}

TEST(LoadClientWithoutServerTest, SaysThatNobodyAnswers) {
  const absl::StatusOr<ProcessOutput> output =
      RunProgram("load_client", {"--target=127.0.0.1:1", "--concurrency=1", "--num_requests=1"});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUnavailable) << output->stderr_text;
  EXPECT_THAT(output->stderr_text, HasSubstr("127.0.0.1:1"));
}

}  // namespace
}  // namespace tramontane
