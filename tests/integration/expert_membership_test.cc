// Expert workers as processes that come, leave, shut down, and are damaged, while generations run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/process.h"
#include "tests/integration/cluster.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

constexpr size_t kStreams = 4;
constexpr uint32_t kTokens = 200;

// A copy of the demo model whose experts are wrong where the digest does not look: the sign of
// every weight between its probes, which are the first, middle and last 64 bytes.
void CopyWithDamagedExperts(const std::string& directory) {
  std::filesystem::copy(DemoModel(), directory, std::filesystem::copy_options::recursive);
  const std::string path = directory + "/model.safetensors";
  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
  }
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const nlohmann::json header =
      nlohmann::json::parse(bytes.substr(sizeof(header_size), header_size));
  for (const auto& [name, tensor] : header.items()) {
    if (!absl::StrContains(name, ".experts.")) continue;
    ASSERT_EQ(tensor["dtype"], "BF16");
    const size_t first = sizeof(header_size) + header_size + size_t{tensor["data_offsets"][0]};
    const size_t last = sizeof(header_size) + header_size + size_t{tensor["data_offsets"][1]};
    const size_t middle = (first + last) / 2;
    for (size_t i = first + 65; i + 64 < last; i += 2) {  // the byte with the sign
      if (i + 64 < middle || i > middle + 64) bytes[i] ^= '\x80';
    }
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

class ExpertMembershipTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> worker_experts) {
    ClusterOptions options;
    options.model = DemoModel();
    options.worker_experts = std::move(worker_experts);
    options.list_expert_workers = true;
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  // Returns once so many expert workers are in a state, or after half a minute.
  void AwaitWorkers(const std::string& state, int count) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    const std::string label = absl::StrCat("state=\"", state, "\"");
    double found = -1;
    while (found != count && absl::Now() < deadline) {
      found =
          ReadMetric(cluster_->coordinator().metrics_address, "tramontane_expert_workers", label)
              .value_or(-1);
    }
    EXPECT_EQ(found, count) << state;
  }

  void ExpectEndsWell(size_t worker) {
    cluster_->workers()[worker].process->Signal(SIGTERM);
    const auto ended = cluster_->workers()[worker].process->Wait(absl::Minutes(1));
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(ended->exit_code, kExitOk) << ended->stderr_text;
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(ExpertMembershipTest, NoRequestNoticesThatWorkersComeAndLeaveByTheList) {
  Start({"all"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  ASSERT_TRUE(cluster_->AddExpertWorker("all").ok());
  ASSERT_TRUE(cluster_->AddExpertWorker("0-4").ok());
  cluster_->ListExpertWorkers({0, 1, 2});
  AwaitWorkers("serving", 3);
  cluster_->ListExpertWorkers({1});
  AwaitWorkers("draining", 0);
  AwaitWorkers("serving", 1);
  ExpectEndsWell(0);
  ExpectEndsWell(2);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
  EXPECT_FALSE(
      ReadMetric(cluster_->coordinator().metrics_address, "tramontane_expert_hop_failures_total")
          .ok())
      << "who leaves finishes what it has";
}

TEST_F(ExpertMembershipTest, WorkersThatShutDownOneAfterTheOtherFailNoBatch) {
  Start({"all", "all"});
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.AwaitBegun();
  ExpectEndsWell(0);
  ASSERT_TRUE(cluster_->AddExpertWorker("all").ok());
  cluster_->ListExpertWorkers({1, 2});
  AwaitWorkers("serving", 2);
  ExpectEndsWell(1);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
  EXPECT_FALSE(
      ReadMetric(cluster_->coordinator().metrics_address, "tramontane_expert_hop_failures_total")
          .ok());
}

TEST_F(ExpertMembershipTest, AWorkerWithDamagedExpertsIsRefusedWithTheReason) {
  const TemporaryDirectory directory;
  const std::string damaged = directory.path() + "/model";
  CopyWithDamagedExperts(damaged);
  Start({"all"});
  ASSERT_TRUE(cluster_->AddExpertWorker("all", damaged).ok());
  cluster_->ListExpertWorkers({0, 1});
  AwaitWorkers("set_aside", 1);
  const auto shown = RunProgram(
      "tramontanectl", {"placement", absl::StrCat("--target=", cluster_->coordinator().address)});
  ASSERT_TRUE(shown.ok()) << shown.status();
  EXPECT_EQ(shown->exit_code, kExitOk) << shown->stderr_text;
  EXPECT_THAT(shown->stdout_text, HasSubstr("a wrong answer"));
  EXPECT_THAT(shown->stdout_text, HasSubstr("serving"));
  StoryStreams streams(*cluster_, kStreams, kTokens);
  streams.Finish();
  ExpectAsAlone(cluster_->stub(), streams);
}

}  // namespace
}  // namespace tramontane
