// What `tramontanectl plan` says, against what the processes that it plans really take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "model/config.h"
#include "proto/serving/process.h"
#include "tests/benchmark/synthetic_checkpoint.h"
#include "tests/integration/cluster.h"
#include "tests/integration/resident_memory.h"

namespace tramontane {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // whose shadow memory is no plan's
#else
constexpr bool kSanitized = false;
#endif

constexpr int kThreads = 2;
constexpr double kMiB = 1024.0 * 1024.0;

// What a plan may have too much: the reserve of a process and requests that nobody made, whatever
// the model; and a share for rows, scratch and a probe at their most at the same time. It may have
// too little of nothing.
constexpr double kMostUnused = 64 * kMiB;
constexpr double kMostUnusedShare = 0.08;

struct Deployment {
  std::string model;  // directory
  std::string compute = "bf16";
  int users = 4;
  int context = 512;
  bool attention_workers = false;
};

Json PlanOf(const Deployment& deployment) {
  const absl::StatusOr<ProcessOutput> plan = RunProgram(
      "tramontanectl",
      {"plan", "--json", absl::StrCat("--model=", deployment.model),
       absl::StrCat("--compute=", deployment.compute), absl::StrCat("--users=", deployment.users),
       absl::StrCat("--context=", deployment.context), "--expert_memory=8GiB", "--replicas=1",
       "--experts_per_shard=4", absl::StrCat("--expert_cores=", kThreads),
       absl::StrCat("--attention_cores=", kThreads),
       absl::StrCat("--attention=", deployment.attention_workers ? "workers" : "coordinator")});
  EXPECT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->exit_code, 0) << plan->stderr_text;
  return Json::parse(plan->stdout_text);
}

// The processes of the plan, started with the flags that its table shows.
std::unique_ptr<Cluster> StartPlanned(const Deployment& deployment, const Json& plan) {
  const std::string threads = absl::StrCat("--threads=", kThreads);
  const std::string cache =
      absl::StrCat("--kv_cache_tokens=", plan["kv_cache_tokens"].get<int64_t>());
  ClusterOptions options;
  options.model = deployment.model;
  options.compute = deployment.compute;
  for (const Json& shard : plan["expert_shards"]) {
    options.worker_experts.push_back(shard["experts_flag"]);
  }
  options.worker_flags = {threads};
  options.coordinator_flags = {
      absl::StrCat("--max_running_requests=", plan["users_per_attention"].get<int64_t>())};
  options.num_attention_workers = static_cast<int>(plan["num_attention_workers"]);
  std::vector<std::string>& attention_flags =
      deployment.attention_workers ? options.attention_flags : options.coordinator_flags;
  attention_flags.insert(attention_flags.end(), {threads, cache});
  absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? *std::move(cluster) : nullptr;
}

// Every user at once fills its context, so that every block of the KV cache is written.
void FillContexts(Cluster& cluster, const Deployment& deployment, int vocab_size) {
  constexpr int kNewTokens = 32;
  constexpr absl::Duration kPatience = absl::Minutes(10);  // for a given checkpoint of many GB
  std::vector<std::thread> users;
  for (int user = 0; user < deployment.users; ++user) {
    users.emplace_back([&, user] {
      std::mt19937 random(static_cast<uint32_t>(user + 1));
      v1::GenerateRequest request;
      for (int i = 0; i < deployment.context - kNewTokens; ++i) {
        request.add_prompt_token_ids(3 + random() % static_cast<uint32_t>(vocab_size - 3));
      }
      request.set_max_tokens(kNewTokens);
      request.set_temperature(1);
      request.set_seed(7);
      request.set_ignore_eos(true);
      const auto answer = GenerateAll(cluster.stub(), request, kPatience);
      EXPECT_TRUE(answer.ok()) << answer.status();
    });
  }
  for (std::thread& user : users) user.join();
}

// `planned` as `plan --json` gives it. Prints a row of the table in docs/capacity.md.
void ExpectMemory(const std::string& name, const Json& planned, const ServerProcess& server) {
  const absl::StatusOr<ResidentMemory> found = ReadResidentMemory(server.process->pid());
  ASSERT_TRUE(found.ok()) << found.status();
  const auto needs = planned["needs"].get<double>();
  std::printf("| %s | %.1f | %.1f | %.1f | %.1f | %.0f%% |\n", name.c_str(), needs / kMiB,
              static_cast<double>(found->peak) / kMiB, static_cast<double>(found->anonymous) / kMiB,
              static_cast<double>(found->mapped) / kMiB,
              100 * static_cast<double>(found->peak) / needs);
  if (kSanitized) return;
  EXPECT_LE(static_cast<double>(found->peak), needs) << name << " " << planned;
  EXPECT_GE(static_cast<double>(found->peak), needs * (1 - kMostUnusedShare) - kMostUnused)
      << name << " " << planned;
  // What is exact is there in full.
  const Json& items = planned["items"];
  const int64_t exact = items.value("weights", int64_t{0}) + items.value("KV cache", int64_t{0});
  EXPECT_GE(static_cast<double>(found->anonymous), 0.99 * static_cast<double>(exact)) << name;
}

void ExpectAgreement(const Deployment& deployment) {
  const Json plan = PlanOf(deployment);
  ASSERT_EQ(plan["expert_shards"].size(), 2u);
  const absl::StatusOr<MixtralConfig> config = ReadMixtralConfig(deployment.model);
  ASSERT_TRUE(config.ok()) << config.status();
  const std::unique_ptr<Cluster> cluster = StartPlanned(deployment, plan);
  ASSERT_NE(cluster, nullptr);
  std::vector<ServerProcess>& attention = cluster->attention_workers();
  const ServerProcess& runs_attention =
      deployment.attention_workers ? attention.front() : cluster->coordinator();

  // To the byte, as the processes log them.
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(
        cluster->workers()[i].process->StderrSoFar(),
        HasSubstr(absl::StrCat(
            " packed_bytes=", plan["expert_shards"][i]["memory"]["items"]["weights"].get<int64_t>(),
            " seconds=")));
  }
  const Json& attention_plan =
      plan[deployment.attention_workers ? "attention_worker" : "coordinator"];
  const std::string log = runs_attention.process->StderrSoFar();
  EXPECT_THAT(
      log, HasSubstr(absl::StrCat(
               " packed_bytes=", attention_plan["items"]["weights"].get<int64_t>(), " seconds=")));
  const auto tokens = plan["kv_cache_tokens"].get<int64_t>();
  EXPECT_THAT(log, HasSubstr(absl::StrCat(
                       "event=\"KV cache ready\" tokens=", tokens,
                       " block_size=16 "
                       "dtype=",
                       deployment.compute,
                       " bytes=", tokens * plan["kv_bytes_per_token"].get<int64_t>(), "\n")));

  // Loading maps pages of the checkpoint that are given back.
  for (ServerProcess& worker : cluster->workers()) {
    ASSERT_TRUE(ForgetPeak(worker.process->pid()).ok());
  }
  FillContexts(*cluster, deployment, config->vocab_size);
  for (size_t i = 0; i < 2; ++i) {
    ExpectMemory("expert worker", plan["expert_shards"][i]["memory"], cluster->workers()[i]);
  }
  if (deployment.attention_workers) {
    ExpectMemory("attention worker", attention_plan, runs_attention);
  }
  ExpectMemory("coordinator", plan["coordinator"], cluster->coordinator());
}

// Large beside what a process takes else; small enough for a test.
std::string SmallSynthetic() {
  static const TemporaryDirectory* const directory = new TemporaryDirectory();
  static const absl::Status written = [] {
    MixtralConfig config;
    config.num_layers = 4;
    config.hidden_size = 512;
    config.intermediate_size = 2'016;  // no multiple of a panel
    config.num_experts = 8;
    config.top_k = 2;
    config.num_heads = 8;
    config.num_kv_heads = 4;
    config.head_dim = 64;
    config.vocab_size = 4'001;
    config.max_position_embeddings = 2'048;
    return WriteSyntheticCheckpoint(config, 1, directory->path(), kThreads);
  }();
  EXPECT_TRUE(written.ok()) << written;
  return directory->path();
}

TEST(CapacityProcessesTest, TheDemoModelTakesWhatIsPlanned) {
  ExpectAgreement({.model = DemoModel()});
}

TEST(CapacityProcessesTest, AttentionWorkersTakeWhatIsPlanned) {
  ExpectAgreement({.model = DemoModel(), .attention_workers = true});
}

TEST(CapacityProcessesTest, ASyntheticModelTakesWhatIsPlanned) {
  ExpectAgreement({.model = SmallSynthetic()});
}

TEST(CapacityProcessesTest, ASyntheticModelInFloat32TakesWhatIsPlanned) {
  ExpectAgreement({.model = SmallSynthetic(), .compute = "f32"});
}

// Any checkpoint whose halves take 8 GiB at most: what docs/capacity.md measures.
TEST(CapacityProcessesTest, AGivenCheckpointTakesWhatIsPlanned) {
  const char* const model = std::getenv("TRAMONTANE_CAPACITY_MODEL");
  if (model == nullptr) GTEST_SKIP() << "TRAMONTANE_CAPACITY_MODEL names no checkpoint";
  for (const bool attention_workers : {false, true}) {
    ExpectAgreement(
        {.model = model, .users = 8, .context = 2'048, .attention_workers = attention_workers});
  }
}

TEST(CapacityCommandTest, WhatIsWrongHasItsExitCode) {
  const std::string model = absl::StrCat("--model=", DemoModel());
  const struct {
    std::vector<std::string> arguments;
    int exit_code;
    const char* message;
  } cases[] = {
      {{"plan"}, kExitUsage, "--model=DIR is missing"},
      {{"plan", model}, kExitUsage, "--expert_memory=SIZE is missing"},
      {{"plan", model, "--expert_memory=1GiB"}, kExitUsage, "--users: expected 1 to"},
      {{"plan", model, "--expert_memory=1", "--users=1"}, kExitUsage, "needs"},
      {{"plan", model, "--expert_memory=1GiB", "--users=1", "--tokens_per_s=1"},
       kExitUsage,
       "expected --expert_bandwidth"},
      {{"plan", model, "--expert_memory=1GiB", "--users=1", "--tokens_per_s=1e9",
        "--expert_bandwidth=10"},
       kExitUsage,
       "cannot have more than"},
      {{"plan", "--model=/nowhere", "--expert_memory=1GiB", "--users=1"},
       kExitCheckpoint,
       "/nowhere/config.json: no such file"},
      {{"plan", absl::StrCat("--model=", DemoModel(), "/tokenizer_config.json"),
        "--expert_memory=1GiB", "--users=1"},
       kExitCheckpoint,
       "model_type"},
      {{"plan", model, "--expert_memory=1GiB", "--users=1", "--values_out=/nowhere/values.yaml"},
       kExitUsage,
       "--values_out=/nowhere/values.yaml: cannot be written: No such file"},
      {{"plot"}, kExitUsage, "expected one command"},
  };
  for (const auto& each : cases) {
    const absl::StatusOr<ProcessOutput> output = RunProgram("tramontanectl", each.arguments);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(output->exit_code, each.exit_code) << output->stderr_text;
    EXPECT_THAT(output->stderr_text, HasSubstr(each.message));
    EXPECT_EQ(output->stdout_text, "");
  }
}

}  // namespace
}  // namespace tramontane
