// The golden values of Hugging Face Transformers, through real servers and the public API.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/safetensors.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using nlohmann::json;

struct GoldenModel {
  std::string name;       // folder under tests/golden
  std::string directory;  // of the checkpoint
  int num_experts;
};

json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return json::parse(file);
}

template <typename T>
std::vector<T> ReadGolden(const SafetensorsFile& file, const std::string& name) {
  const auto bytes = file.RawBytes(name);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  std::vector<T> values(bytes->size() / sizeof(T));
  std::memcpy(values.data(), bytes->data(), bytes->size());
  return values;
}

class GoldenApiTest : public testing::TestWithParam<GoldenModel> {
 protected:
  void SetUp() override {
    const int half = GetParam().num_experts / 2;
    ClusterOptions options;
    options.model = GetParam().directory;
    options.compute = "f32";
    options.worker_experts = {absl::StrCat("0-", half - 1),
                              absl::StrCat(half, "-", GetParam().num_experts - 1)};
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    golden_ = ReadJson(absl::StrCat(GoldenCheckpoint(GetParam().name), "/golden.json"));
    ASSERT_GT(golden_["cases"].size(), 0);
  }

  std::unique_ptr<Cluster> cluster_;
  json golden_;
};

TEST_P(GoldenApiTest, GenerateProgramPrintsTheGreedyTokens) {
  for (const json& expected : golden_["cases"]) {
    SCOPED_TRACE(absl::StrCat("case ", expected["case"].get<int>()));
    const auto prompt = expected["prompt_token_ids"].get<std::vector<int>>();
    const auto greedy = expected["greedy_token_ids"].get<std::vector<int>>();
    const absl::StatusOr<ProcessOutput> output =
        RunProgram("generate", {absl::StrCat("--target=", cluster_->coordinator().address),
                                absl::StrCat("--prompt_token_ids=", absl::StrJoin(prompt, ",")),
                                absl::StrCat("--max_tokens=", greedy.size()), "--temperature=0",
                                "--ignore_eos", "--prompt_logprobs", "--json"});
    ASSERT_TRUE(output.ok()) << output.status();
    ASSERT_EQ(output->exit_code, 0) << output->stderr_text;
    const json answer = json::parse(output->stdout_text);
    EXPECT_EQ(answer["token_ids"].get<std::vector<int>>(), greedy);
    EXPECT_EQ(answer["finish_reason"], "FINISH_REASON_LENGTH");
    EXPECT_EQ(answer["usage"]["prompt_tokens"], prompt.size());
    EXPECT_EQ(answer["usage"]["completion_tokens"], greedy.size());
    ASSERT_EQ(answer["prompt_logprobs"].size(), prompt.size());
    EXPECT_TRUE(answer["prompt_logprobs"][0].is_null());
    if (prompt.size() < 2) continue;
    double nll = 0;
    for (size_t i = 1; i < prompt.size(); ++i) {
      const double logprob = answer["prompt_logprobs"][i];
      nll -= logprob;
      if (expected.contains("prompt_logprobs")) {
        // float32 on both sides; sums of a few hundred terms in another order.
        EXPECT_NEAR(logprob, expected["prompt_logprobs"][i].get<double>(), 2e-4);
      }
    }
    if (expected.contains("mean_nll_of_prompt")) {
      EXPECT_NEAR(nll / static_cast<double>(prompt.size() - 1),
                  expected["mean_nll_of_prompt"].get<double>(), 1e-4);
    }
    if (expected.contains("greedy_text")) {
      // Token 0 of a text has no leading space; a completion keeps the one of its first piece.
      std::string text = answer["text"];
      if (!text.empty() && text[0] == ' ') text.erase(0, 1);
      EXPECT_EQ(text, expected["greedy_text"].get<std::string>());
    }
  }
}

TEST_P(GoldenApiTest, RoutingOfThePromptIsTheReferences) {
  const auto file =
      SafetensorsFile::Open(absl::StrCat(GoldenCheckpoint(GetParam().name), "/golden.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  for (const json& expected : golden_["cases"]) {
    const std::string name = absl::StrCat(expected["case"].get<int>());
    SCOPED_TRACE(absl::StrCat("case ", name));
    v1::GenerateRequest request;
    for (int id : expected["prompt_token_ids"]) request.add_prompt_token_ids(id);
    request.set_max_tokens(0);
    request.set_routing(true);
    const absl::StatusOr<v1::GenerateResponse> answer = GenerateAll(cluster_->stub(), request);
    ASSERT_TRUE(answer.ok()) << answer.status();

    const auto experts = ReadGolden<int32_t>(**file, name + ".router_experts");
    const auto weights = ReadGolden<float>(**file, name + ".router_weights");
    const size_t num_tokens = request.prompt_token_ids_size();
    ASSERT_EQ(answer->prompt_routing_size(), num_tokens);
    const size_t choices = experts.size() / num_tokens;  // layers * top_k
    constexpr size_t kTopK = 2;
    for (size_t t = 0; t < num_tokens; ++t) {
      const v1::TokenRouting& routing = answer->prompt_routing(static_cast<int>(t));
      ASSERT_EQ(routing.expert_ids_size(), choices);
      for (size_t c = 0; c < choices; ++c) {
        const size_t golden = (c / kTopK * num_tokens + t) * kTopK + c % kTopK;
        EXPECT_EQ(routing.expert_ids(static_cast<int>(c)), experts[golden]);
        EXPECT_NEAR(routing.weights(static_cast<int>(c)), weights[golden], 1e-4);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenApiTest,
                         testing::Values(GoldenModel{"tiny_f32", GoldenCheckpoint("tiny_f32"), 8},
                                         GoldenModel{"tiny_bf16_sharded",
                                                     GoldenCheckpoint("tiny_bf16_sharded"), 8},
                                         GoldenModel{"tiny_f16_window_tied",
                                                     GoldenCheckpoint("tiny_f16_window_tied"), 4},
                                         GoldenModel{"demo", DemoModel(), 8}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tramontane
