// Each flag reaches what it is for.
#include "proto/serving/abseil_flag_types.h"

#include "attention_worker/grpc/attention_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_DECLARE_FLAG(std::string, model);
ABSL_DECLARE_FLAG(std::string, model_name);
ABSL_DECLARE_FLAG(std::string, expert_workers);
ABSL_DECLARE_FLAG(std::string, expert_workers_file);
ABSL_DECLARE_FLAG(bool, experts_in_process);
ABSL_DECLARE_FLAG(bool, allow_mixed_backends);
ABSL_DECLARE_FLAG(std::string, worker_tls_name);
ABSL_DECLARE_FLAG(int, kv_block_size);
ABSL_DECLARE_FLAG(int64_t, kv_cache_tokens);
ABSL_DECLARE_FLAG(int, ping_pong_min_rows);
ABSL_DECLARE_FLAG(int64_t, expert_timeout_ms);
ABSL_DECLARE_FLAG(int64_t, expert_wait_timeout_ms);
ABSL_DECLARE_FLAG(double, hedge_after);
ABSL_DECLARE_FLAG(double, drain_timeout_s);

namespace tramontane {
namespace {

class AttentionFlagsTest : public testing::Test {
 private:
  const absl::FlagSaver saver_;  // gives them back
};

TEST_F(AttentionFlagsTest, EachReachesItsOption) {
  absl::SetFlag(&FLAGS_kv_block_size, 32);
  absl::SetFlag(&FLAGS_kv_cache_tokens, 4096);
  absl::SetFlag(&FLAGS_max_step_tokens, 77);
  absl::SetFlag(&FLAGS_ping_pong_min_rows, 9);
  absl::SetFlag(&FLAGS_expert_timeout_ms, 1234);
  absl::SetFlag(&FLAGS_expert_wait_timeout_ms, 5678);
  absl::SetFlag(&FLAGS_hedge_after, 2.5);
  absl::SetFlag(&FLAGS_allow_mixed_backends, true);
  absl::SetFlag(&FLAGS_experts_in_process, true);
  absl::SetFlag(&FLAGS_worker_tls_name, "workers.example");
  absl::SetFlag(&FLAGS_expert_workers, "127.0.0.1:1,127.0.0.1:2");
  absl::SetFlag(&FLAGS_expert_workers_file, "workers.txt");
  const HostedAttentionOptions options = HostedAttentionFlags(nullptr);
  EXPECT_EQ(options.attention.kv_block_size, 32);
  EXPECT_EQ(options.attention.kv_cache_tokens, 4096);
  EXPECT_EQ(options.attention.max_step_tokens, 77);
  EXPECT_EQ(options.attention.ping_pong_min_rows, 9);
  EXPECT_EQ(options.attention.expert_timeout_ms, 1234);
  EXPECT_EQ(options.attention.expert_wait_timeout_ms, 5678);
  EXPECT_EQ(options.attention.hedge_after, 2.5);
  EXPECT_TRUE(options.allow_mixed_backends);
  EXPECT_TRUE(options.experts_in_process);
  EXPECT_EQ(options.expert_tls.server_name, "workers.example");
  EXPECT_EQ(options.expert_workers.size(), 2u);
  EXPECT_EQ(options.expert_workers_file, "workers.txt");
}

TEST_F(AttentionFlagsTest, DefaultsAreTheOptionsOwn) {
  const HostedAttentionOptions options = HostedAttentionFlags(nullptr);
  EXPECT_FALSE(options.allow_mixed_backends);
  EXPECT_FALSE(options.experts_in_process);
  EXPECT_TRUE(options.expert_workers.empty());
  EXPECT_EQ(options.attention.hedge_after, 0);
}

TEST_F(AttentionFlagsTest, TheNameIsTheDirectorysUnlessItIsGiven) {
  for (const std::string directory : {"/models/mixtral", "/models/mixtral/"}) {
    absl::SetFlag(&FLAGS_model, directory);
    EXPECT_EQ(ModelNameFlag(), "mixtral");
  }
  absl::SetFlag(&FLAGS_model_name, "other");
  EXPECT_EQ(ModelNameFlag(), "other");
}

TEST_F(AttentionFlagsTest, TheDrainTimeIsInSeconds) {
  absl::SetFlag(&FLAGS_drain_timeout_s, 1.5);
  EXPECT_EQ(DrainTimeoutFlag(), absl::Seconds(1.5));
}

}  // namespace
}  // namespace tramontane
