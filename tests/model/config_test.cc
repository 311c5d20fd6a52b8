#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SmallConfig;

absl::StatusOr<MixtralConfig> Parse(const json& config) {
  return ParseMixtralConfig(config.dump(), "config.json");
}

MixtralConfig ParseOrDie(const json& config) {
  const absl::StatusOr<MixtralConfig> parsed = Parse(config);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(MixtralConfig());
}

json Without(json config, const char* key) {
  config.erase(key);
  return config;
}

json With(json config, const char* key, const json& value) {
  config[key] = value;
  return config;
}

TEST(ConfigTest, ReadsEverySize) {
  const MixtralConfig config = ParseOrDie(SmallConfig());
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.hidden_size, 8);
  EXPECT_EQ(config.intermediate_size, 12);
  EXPECT_EQ(config.num_experts, 3);
  EXPECT_EQ(config.top_k, 2);
  EXPECT_EQ(config.num_heads, 2);
  EXPECT_EQ(config.num_kv_heads, 1);
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.vocab_size, 16);
  EXPECT_EQ(config.max_position_embeddings, 64);
  EXPECT_EQ(config.rms_norm_eps, 1e-5f);
  EXPECT_EQ(config.bos_token_id, 1);
}

TEST(ConfigTest, RopeThetaMayStandAtTheTop) {
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "rope_theta", 5e5)).rope_theta, 5e5);
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "rope_theta", 1000000)).rope_theta, 1e6);
}

TEST(ConfigTest, RopeThetaMayStandInRopeParameters) {
  const json rope = {{"rope_theta", 12345.0}, {"rope_type", "default"}};
  const json config = With(Without(SmallConfig(), "rope_theta"), "rope_parameters", rope);
  EXPECT_EQ(ParseOrDie(config).rope_theta, 12345.0);
}

TEST(ConfigTest, RopeThetaNowhereIsTheClassDefault) {
  EXPECT_EQ(ParseOrDie(Without(SmallConfig(), "rope_theta")).rope_theta, 1e6);
}

TEST(ConfigTest, RopeThetaInTwoPlacesMustAgree) {
  const json rope = {{"rope_theta", 500.0}, {"rope_type", "default"}};
  const auto parsed = Parse(With(SmallConfig(), "rope_parameters", rope));
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("contradicts itself"));
  const json same = {{"rope_theta", 10000.0}};
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "rope_parameters", same)).rope_theta, 10000.0);
}

TEST(ConfigTest, DefaultRopeTypesAreAccepted) {
  for (const json& rope : {json(nullptr), json::object(), json{{"rope_type", "default"}},
                           json{{"type", "default"}, {"factor", 2.0}}}) {
    ParseOrDie(With(SmallConfig(), "rope_scaling", rope));
  }
}

TEST(ConfigTest, DTypeHasTwoSpellingsAndMayBeAbsent) {
  EXPECT_EQ(ParseOrDie(SmallConfig()).dtype, DType::kF32);
  const json bare = Without(SmallConfig(), "torch_dtype");
  EXPECT_EQ(ParseOrDie(bare).dtype, std::nullopt);
  EXPECT_EQ(ParseOrDie(With(bare, "dtype", "bfloat16")).dtype, DType::kBF16);
  EXPECT_EQ(ParseOrDie(With(bare, "dtype", "float16")).dtype, DType::kF16);
  EXPECT_EQ(ParseOrDie(With(bare, "dtype", nullptr)).dtype, std::nullopt);
  EXPECT_EQ(ParseOrDie(With(bare, "torch_dtype", "torch.bfloat16")).dtype, DType::kBF16);
}

TEST(ConfigTest, HeadDimDefaultsToTheShareOfHidden) {
  EXPECT_EQ(ParseOrDie(Without(SmallConfig(), "head_dim")).head_dim, 4);
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "head_dim", nullptr)).head_dim, 4);
}

TEST(ConfigTest, NullKeyValueHeadsMeanOneForEachHead) {
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "num_key_value_heads", nullptr)).num_kv_heads, 2);
}

TEST(ConfigTest, AbsentKeysTakeTheClassDefaults) {
  json config = SmallConfig();
  config["num_attention_heads"] = 16;
  for (const char* key :
       {"num_key_value_heads", "num_local_experts", "num_experts_per_tok",
        "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "hidden_act"}) {
    config.erase(key);
  }
  const MixtralConfig parsed = ParseOrDie(config);
  EXPECT_EQ(parsed.num_kv_heads, 8);
  EXPECT_EQ(parsed.num_experts, 8);
  EXPECT_EQ(parsed.top_k, 2);
  EXPECT_EQ(parsed.max_position_embeddings, 131072);
  EXPECT_EQ(parsed.rms_norm_eps, 1e-5f);
  EXPECT_FALSE(parsed.tie_word_embeddings);
}

TEST(ConfigTest, SlidingWindowIsANumberOrNull) {
  EXPECT_EQ(ParseOrDie(SmallConfig()).sliding_window, std::nullopt);
  EXPECT_EQ(ParseOrDie(With(SmallConfig(), "sliding_window", 4096)).sliding_window, 4096);
}

TEST(ConfigTest, EosIsANumberAListOrNull) {
  EXPECT_THAT(ParseOrDie(SmallConfig()).eos_token_ids, ElementsAre(2));
  EXPECT_THAT(ParseOrDie(With(SmallConfig(), "eos_token_id", {2, 15})).eos_token_ids,
              ElementsAre(2, 15));
  EXPECT_THAT(ParseOrDie(With(SmallConfig(), "eos_token_id", nullptr)).eos_token_ids, IsEmpty());
}

TEST(ConfigTest, EitherArchitecturesOrModelTypeIsEnough) {
  ParseOrDie(Without(SmallConfig(), "architectures"));
  ParseOrDie(With(SmallConfig(), "architectures", nullptr));
  ParseOrDie(Without(SmallConfig(), "model_type"));
}

TEST(ConfigTest, UnknownKeysAreIgnored) {
  ParseOrDie(With(SmallConfig(), "router_jitter_noise", {{"deep", {1, 2, {3}}}}));
  ParseOrDie(With(SmallConfig(), "attention_bias", false));
}

struct Refusal {
  const char* key;
  json value;  // discarded: the key is left out
};

class ConfigRefusalTest : public ::testing::TestWithParam<Refusal> {};

TEST_P(ConfigRefusalTest, NamesFileKeyExpectedAndFound) {
  const auto& [key, value] = GetParam();
  json config = SmallConfig();
  if (value.is_discarded()) {
    config.erase(key);
  } else {
    config[key] = value;
  }
  const auto parsed = Parse(config);
  ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(parsed.status().message());
  EXPECT_THAT(message, HasSubstr(std::string("config.json: \"") + key + "\": expected "));
  EXPECT_THAT(message, HasSubstr(", found "));
}

const json kAbsent = json(json::value_t::discarded);

INSTANTIATE_TEST_SUITE_P(
    Cases, ConfigRefusalTest,
    ::testing::Values(
        Refusal{"architectures", {"LlamaForCausalLM"}}, Refusal{"architectures", "x"},
        Refusal{"architectures", json::array()}, Refusal{"model_type", "llama"},
        Refusal{"model_type", 7}, Refusal{"hidden_act", "gelu"}, Refusal{"attention_bias", true},
        Refusal{"mlp_bias", true}, Refusal{"attention_bias", "yes"},
        Refusal{"quantization_config", {{"quant_method", "gptq"}}},
        Refusal{"num_hidden_layers", kAbsent}, Refusal{"num_hidden_layers", nullptr},
        Refusal{"num_hidden_layers", 0}, Refusal{"num_hidden_layers", -2},
        Refusal{"num_hidden_layers", 2.0}, Refusal{"num_hidden_layers", "2"},
        Refusal{"num_hidden_layers", true}, Refusal{"hidden_size", kAbsent},
        Refusal{"hidden_size", 1e18}, Refusal{"hidden_size", 1000000000000000000},
        Refusal{"hidden_size", 18446744073709551615u}, Refusal{"intermediate_size", kAbsent},
        Refusal{"num_attention_heads", kAbsent}, Refusal{"num_key_value_heads", 3},
        Refusal{"num_key_value_heads", 4}, Refusal{"head_dim", 5}, Refusal{"head_dim", 0},
        Refusal{"head_dim", 1 << 20}, Refusal{"vocab_size", kAbsent}, Refusal{"vocab_size", -1},
        Refusal{"num_local_experts", 0}, Refusal{"num_experts_per_tok", 4},
        Refusal{"num_experts_per_tok", 0}, Refusal{"max_position_embeddings", 0},
        Refusal{"sliding_window", 0}, Refusal{"sliding_window", "8"}, Refusal{"rms_norm_eps", 0},
        Refusal{"rms_norm_eps", -1e-5}, Refusal{"rms_norm_eps", "1e-5"}, Refusal{"rope_theta", 0},
        Refusal{"rope_theta", 1e300}, Refusal{"rope_theta", {1}},
        Refusal{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}},
        Refusal{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}},
        Refusal{"rope_scaling", {{"factor", 2.0}}}, Refusal{"rope_scaling", "default"},
        Refusal{"rope_parameters", {{"rope_type", "llama3"}, {"rope_theta", 10000.0}}},
        Refusal{"rope_parameters", {{"rope_theta", "x"}}},
        Refusal{"rope_parameters", {{"rope_theta", 1e4}, {"partial_rotary_factor", 0.5}}},
        Refusal{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}},
        Refusal{"partial_rotary_factor", 0.5}, Refusal{"tie_word_embeddings", 1},
        Refusal{"bos_token_id", 16}, Refusal{"bos_token_id", -1}, Refusal{"eos_token_id", 16},
        Refusal{"eos_token_id", {2, -1}}, Refusal{"eos_token_id", "2"}, Refusal{"dtype", 16}));

TEST(ConfigTest, HeadsThatDoNotDivideHiddenNeedAHeadDim) {
  json config = Without(SmallConfig(), "head_dim");
  config["num_attention_heads"] = 3;
  const auto parsed = Parse(config);
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(parsed.status().message()),
              HasSubstr("hidden_size (8) is no multiple of num_attention_heads (3)"));
}

class MalformedConfigTest : public ::testing::TestWithParam<std::string> {};

TEST_P(MalformedConfigTest, IsRefusedByName) {
  for (const auto& status : {ParseMixtralConfig(GetParam(), "a/config.json").status(),
                             ParseGenerationDefaults(GetParam(), "a/config.json").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("a/config.json: expected "));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, MalformedConfigTest,
                         ::testing::Values("", "{", "[]", "null", "\"text\"", "{\"a\": NaN}",
                                           "{\"a\": 1} {}", std::string("\0\0", 2), "{\"\xff\": 1}",
                                           std::string(1000000, '['), "{\"a\": 1e999}",
                                           "{\"a\":" + std::string(100, '[') +
                                               std::string(100, ']') + "}",
                                           std::string((1 << 20) + 1, ' ')));

}  // namespace
}  // namespace tramontane
