// The same request gives the same bits wherever the experts are and whatever runs beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

std::vector<v1::GenerateRequest> Requests() {
  std::vector<v1::GenerateRequest> requests;
  for (const char* prompt :
       {"Once upon a time", "Il était une fois un roi qui", "Der Wolf", "C'era una volta",
        "The king said to his daughter that the golden bird should be brought before him, and the "
        "huntsman went out into the forest where the fox was waiting under the linden tree"}) {
    v1::GenerateRequest request;
    request.set_prompt(prompt);
    request.set_max_tokens(20 + 3 * static_cast<uint32_t>(requests.size()));
    request.set_temperature(requests.size() % 2 == 0 ? 0.0f : 0.8f);
    request.set_top_p(0.95f);
    request.set_seed(7 + requests.size());
    request.set_logprobs(true);
    request.set_top_logprobs(3);
    request.set_prompt_logprobs(true);
    request.set_routing(true);
    request.set_ignore_eos(true);
    requests.push_back(request);
  }
  return requests;
}

// Everything of an answer that must not depend on where and beside what it was made: floats as the
// bits that they are.
std::string Bits(v1::GenerateResponse response) {
  response.clear_timings();
  return response.SerializeAsString();
}

std::vector<std::string> RunAlone(Cluster& cluster) {
  std::vector<std::string> answers;
  for (const v1::GenerateRequest& request : Requests()) {
    const absl::StatusOr<v1::GenerateResponse> answer = GenerateAll(cluster.stub(), request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return answers;
    EXPECT_EQ(answer->token_ids_size(), request.max_tokens());
    EXPECT_EQ(answer->logprobs_size(), answer->token_ids_size());
    answers.push_back(Bits(*answer));
  }
  return answers;
}

// All at once, so that steps mix prefill chunks and decode rows of several sequences.
std::vector<std::string> RunTogether(Cluster& cluster) {
  const std::vector<v1::GenerateRequest> requests = Requests();
  std::vector<std::string> answers(requests.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < requests.size(); ++i) {
    threads.emplace_back([&, i] {
      const absl::StatusOr<v1::GenerateResponse> answer = GenerateAll(cluster.stub(), requests[i]);
      EXPECT_TRUE(answer.ok()) << answer.status();
      if (answer.ok()) answers[i] = Bits(*answer);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return answers;
}

class EqualityTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Cluster> StartWith(const std::vector<std::string>& worker_experts,
                                     const std::vector<std::string>& attention_flags = {},
                                     int num_attention_workers = 0) {
    ClusterOptions options;
    options.num_attention_workers = num_attention_workers;
    options.attention_flags = attention_flags;
    options.model = DemoModel();
    options.compute = GetParam();
    options.worker_experts = worker_experts;
    options.coordinator_flags = attention_flags;
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    return cluster.ok() ? *std::move(cluster) : nullptr;
  }
};

TEST_P(EqualityTest, ExpertWorkersGiveTheBitsOfOneProcess) {
  std::unique_ptr<Cluster> one_process = StartWith({});
  ASSERT_NE(one_process, nullptr);
  const std::vector<std::string> expected = RunAlone(*one_process);
  ASSERT_EQ(expected.size(), Requests().size());
  EXPECT_EQ(RunTogether(*one_process), expected) << "in process, mixed batches";

  const std::vector<std::vector<std::string>> placements = {
      {"0-7"},
      {"0-3", "4-7"},
      {"0-1:0-3,2-3:4-7", "0-1:4-7,2-3:0-3"},  // per layer
      {"0-5", "3-7"},                          // replicas of 3, 4 and 5
      {"0-1", "2-3", "4-5", "6-7"},
      {"0", "1", "2", "3", "4", "5", "6", "7"},
  };
  for (const std::vector<std::string>& placement : placements) {
    SCOPED_TRACE(absl::StrJoin(placement, " | "));
    std::unique_ptr<Cluster> cluster = StartWith(placement);
    ASSERT_NE(cluster, nullptr);
    EXPECT_EQ(RunAlone(*cluster), expected) << "one at a time";
    EXPECT_EQ(RunTogether(*cluster), expected) << "mixed batches";
  }
}

TEST_P(EqualityTest, AttentionWorkersGiveTheBitsOfOneProcess) {
  std::unique_ptr<Cluster> one_process = StartWith({});
  ASSERT_NE(one_process, nullptr);
  const std::vector<std::string> expected = RunAlone(*one_process);
  ASSERT_EQ(expected.size(), Requests().size());
  for (const int num_attention_workers : {1, 2}) {
    SCOPED_TRACE(num_attention_workers);
    std::unique_ptr<Cluster> cluster = StartWith({"0-3", "4-7"}, {}, num_attention_workers);
    ASSERT_NE(cluster, nullptr);
    EXPECT_EQ(RunAlone(*cluster), expected) << "one at a time";
    EXPECT_EQ(RunTogether(*cluster), expected) << "mixed batches";
  }
  std::unique_ptr<Cluster> chunked =
      StartWith({}, {"--max_step_tokens=7", "--kv_block_size=64"}, 2);
  ASSERT_NE(chunked, nullptr);
  EXPECT_EQ(RunTogether(*chunked), expected) << "chunked prefill, experts in the workers";
}

TEST_P(EqualityTest, ChunkedPrefillAndBlockSizeChangeNoBit) {
  std::unique_ptr<Cluster> plain = StartWith({});
  ASSERT_NE(plain, nullptr);
  const std::vector<std::string> expected = RunAlone(*plain);
  for (const char* flags : {"--max_step_tokens=7", "--kv_block_size=64"}) {
    SCOPED_TRACE(flags);
    std::unique_ptr<Cluster> cluster = StartWith({"0-3", "4-7"}, {flags});
    ASSERT_NE(cluster, nullptr);
    EXPECT_EQ(RunTogether(*cluster), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Compute, EqualityTest, testing::Values("bf16", "f32"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tramontane
