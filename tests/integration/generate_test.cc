// The command-line client against a real coordinator.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/serving/process.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class GenerateTest : public testing::Test {
 protected:
  void SetUp() override {
    ClusterOptions options;
    options.model = DemoModel();
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  ProcessOutput Generate(std::vector<std::string> arguments) {
    arguments.push_back(absl::StrCat("--target=", cluster_->coordinator().address));
    const absl::StatusOr<ProcessOutput> output = RunProgram("generate", arguments);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.ok() ? *output : ProcessOutput();
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(GenerateTest, StreamsTextAndEndsWithTheRate) {
  const ProcessOutput output = Generate({"--temperature=0", "--max_tokens=16", "Once upon a time"});
  EXPECT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  EXPECT_THAT(output.stdout_text, HasSubstr("there lived a man"));
  EXPECT_THAT(output.stderr_text, HasSubstr("tokens/s"));
}

// A full disk, or a reader that has gone: nobody wants the rest, and it did not succeed.
TEST_F(GenerateTest, OutputThatIsLostIsAFailure) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  for (const std::string format : {"", "--json "}) {
    for (const std::string& sink : {std::string("1</dev/null"), absl::StrCat(">&", ends[1])}) {
      const std::string command =
          absl::StrCat("bash -c '", TRAMONTANE_BINARY_DIR,
                       "/generate --target=", cluster_->coordinator().address,
                       " --ignore_eos --max_tokens=40 ", format, "Once ", sink, "'");
      const int status = std::system(command.c_str());
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kExitFailure) << command << status;
    }
  }
  close(ends[1]);
}

TEST_F(GenerateTest, JsonHasTheApisFields) {
  const ProcessOutput output =
      Generate({"--json", "--seed=7", "--max_tokens=5", "--logprobs", "--top_logprobs=2",
                "--prompt_logprobs", "--routing", "--ignore_eos", "Once upon a time"});
  ASSERT_EQ(output.exit_code, kExitOk) << output.stderr_text;
  const json answer = json::parse(output.stdout_text);
  EXPECT_TRUE(answer["text"].is_string());
  EXPECT_EQ(answer["token_ids"].size(), 5);
  EXPECT_EQ(answer["logprobs"].size(), 5);
  EXPECT_EQ(answer["top_logprobs"].size(), 5);
  EXPECT_EQ(answer["top_logprobs"][0]["token_ids"].size(), 2);
  EXPECT_EQ(answer["prompt_token_ids"], json({1, 2742, 868, 261, 586}));
  EXPECT_EQ(answer["prompt_logprobs"].size(), 5);
  EXPECT_EQ(answer["prompt_routing"].size(), 5);
  EXPECT_EQ(answer["routing"].size(), 4);
  EXPECT_EQ(answer["routing"][0]["expert_ids"].size(), 4 * 2);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 5);
  EXPECT_GT(answer["timings"]["time_to_first_token_ms"].get<double>(), 0);
}

TEST_F(GenerateTest, SeveralCompletionsAreToldApart) {
  const std::vector<std::string> flags = {"--num_completions=2", "--seed=7", "--max_tokens=5",
                                          "--ignore_eos", "Once upon a time"};
  const ProcessOutput text = Generate(flags);
  ASSERT_EQ(text.exit_code, kExitOk) << text.stderr_text;
  EXPECT_THAT(text.stdout_text,
              AllOf(StartsWith("[completion 0]\n"), HasSubstr("\n[completion 1]\n")));
  EXPECT_THAT(text.stderr_text, AllOf(HasSubstr("completion 0: 5 tokens"), HasSubstr("seed 8")));

  std::vector<std::string> json_flags = flags;
  json_flags.push_back("--json");
  const ProcessOutput lines = Generate(json_flags);
  std::istringstream stream(lines.stdout_text);
  std::string line;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(std::getline(stream, line));
    const json completion = json::parse(line);
    EXPECT_EQ(completion["completion_index"], i);
    EXPECT_EQ(completion["token_ids"].size(), 5);
    EXPECT_EQ(completion["seed"], 7 + i);
  }
}

TEST_F(GenerateTest, SameSeedSameText) {
  const std::vector<std::string> arguments = {"--json", "--seed=11", "--temperature=1",
                                              "--max_tokens=24", "The king"};
  const json first = json::parse(Generate(arguments).stdout_text);
  const json second = json::parse(Generate(arguments).stdout_text);
  EXPECT_EQ(first["token_ids"], second["token_ids"]);
  EXPECT_EQ(first["text"], second["text"]);
}

TEST_F(GenerateTest, ServersWordsReachTheUser) {
  const ProcessOutput output = Generate({"--temperature=-1", "Once"});
  EXPECT_EQ(output.exit_code, kExitUsage);
  EXPECT_THAT(output.stderr_text, HasSubstr("temperature"));
  EXPECT_THAT(output.stderr_text, HasSubstr("-1"));
}

TEST_F(GenerateTest, InterruptCancelsOnTheServer) {
  const absl::StatusOr<std::unique_ptr<ChildProcess>> child = ChildProcess::Start(
      "generate", {absl::StrCat("--target=", cluster_->coordinator().address), "--temperature=0",
                   "--ignore_eos", "--max_tokens=1000", "Once upon a time"});
  ASSERT_TRUE(child.ok()) << child.status();
  const std::string& metrics = cluster_->coordinator().metrics_address;
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (ReadMetric(metrics, "tramontane_num_requests_running").value_or(0) < 1 &&
         absl::Now() < deadline) {
  }
  (*child)->Signal(SIGINT);
  const absl::StatusOr<ProcessOutput> output = (*child)->Wait(absl::Seconds(60));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitInterrupted) << output->stderr_text;
  while (ReadMetric(metrics, "tramontane_num_requests_running").value_or(1) > 0 &&
         absl::Now() < deadline) {
  }
  EXPECT_EQ(ReadMetric(metrics, "tramontane_num_requests_running").value_or(1), 0);
  EXPECT_LT(ReadMetric(metrics, "tramontane_generation_tokens_total").value_or(1000), 1000);
}

TEST(GenerateWithoutServerTest, SaysThatNobodyAnswers) {
  const absl::StatusOr<ProcessOutput> output =
      RunProgram("generate", {"--target=127.0.0.1:1", "--timeout_s=20", "Once"});
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, kExitUnavailable) << output->stderr_text;
  EXPECT_THAT(output->stderr_text, HasSubstr("127.0.0.1:1"));
}

TEST(GenerateWithoutServerTest, HelpExplainsTheFlags) {
  const absl::StatusOr<ProcessOutput> output = RunProgram("generate", {"--help"});
  ASSERT_TRUE(output.ok()) << output.status();
  for (const char* flag : {"target", "prompt_token_ids", "max_tokens", "json", "show_routing"}) {
    EXPECT_THAT(output->stdout_text, HasSubstr(flag));
  }
}

}  // namespace
}  // namespace tramontane
