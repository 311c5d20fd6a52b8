// All processes of one machine, over sockets in the file system.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using testing::HasSubstr;

class UnixSocketsTest : public testing::Test {
 protected:
  std::string Address(const std::string& name) const {
    return absl::StrCat("unix:", directory_.path(), "/", name);
  }
  ServerProcess Start(const std::string& binary, const std::string& name, const std::string& flag) {
    absl::StatusOr<ServerProcess> server =
        StartServer(binary, {absl::StrCat("--model=", DemoModel()), flag}, {Address(name), ""});
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : ServerProcess();
  }
  std::string TokensOf(const std::string& target) {
    const auto told = RunProgram("generate", {"--target=" + target, "--max_tokens=40", "--seed=3",
                                              "--temperature=0.8", "Once upon a time"});
    EXPECT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(told->exit_code, 0) << told->stderr_text;
    return told->stdout_text;
  }

  TemporaryDirectory directory_;
};

TEST_F(UnixSocketsTest, TokensAreThoseOfOneProcessAlsoAfterAWorkerWasKilled) {
  const ServerProcess alone = Start("coordinator", "alone", "--experts_in_process");
  ServerProcess expert_worker = Start("expert_worker", "experts", "--experts=all");
  EXPECT_EQ(expert_worker.address, Address("experts"));
  const ServerProcess attention_worker =
      Start("attention_worker", "attention", "--expert_workers=" + Address("experts"));
  const ServerProcess coordinator =
      Start("coordinator", "api", "--attention_workers=" + Address("attention"));
  ASSERT_TRUE(AwaitServing(coordinator.address, true, absl::Minutes(1)).ok());
  ASSERT_TRUE(AwaitServing(alone.address, true, absl::Minutes(1)).ok());
  const std::string expected = TokensOf(alone.address);
  EXPECT_FALSE(expected.empty());
  EXPECT_EQ(TokensOf(coordinator.address), expected);

  expert_worker.process->Signal(SIGKILL);
  ASSERT_TRUE(expert_worker.process->Wait(absl::Minutes(1)).ok());
  EXPECT_TRUE(std::filesystem::is_socket(directory_.path() + "/experts"));
  expert_worker = Start("expert_worker", "experts", "--experts=all");
  ASSERT_TRUE(AwaitServing(coordinator.address, true, absl::Minutes(1)).ok());
  EXPECT_EQ(TokensOf(coordinator.address), expected);
}

TEST_F(UnixSocketsTest, AServerThatEndsRemovesItsFile) {
  const ServerProcess coordinator = Start("coordinator", "api", "--experts_in_process");
  EXPECT_TRUE(std::filesystem::is_socket(directory_.path() + "/api"));
  coordinator.process->Signal(SIGTERM);
  const auto ended = coordinator.process->Wait(absl::Minutes(1));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->exit_code, 0) << ended->stderr_text;
  EXPECT_FALSE(std::filesystem::exists(directory_.path() + "/api"));
}

TEST_F(UnixSocketsTest, ASecondServerIsRefusedAndSaysWhy) {
  const ServerProcess first = Start("coordinator", "api", "--experts_in_process");
  const auto second = RunProgram("coordinator", {"--model=" + DemoModel(), "--experts_in_process",
                                                 "--listen=" + first.address});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(second->exit_code, 0);
  EXPECT_THAT(second->stderr_text, HasSubstr("another process listens there"));
}

}  // namespace
}  // namespace tramontane
