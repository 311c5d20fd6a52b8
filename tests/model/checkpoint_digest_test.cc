#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/checkpoint.h"
#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::nlohmann::json;
using testing::SafetensorsBytes;
using testing::SmallConfig;
using testing::SmallTensors;
using testing::StoredTensor;
using testing::TempDirectory;

std::string DigestOf(const TempDirectory& directory) {
  const auto checkpoint = Checkpoint::Open(directory.path());
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? (*checkpoint)->digest() : "";
}

std::string DigestOf(const json& config, const std::vector<StoredTensor>& tensors) {
  const TempDirectory directory;
  directory.Write("config.json", config.dump());
  directory.Write("model.safetensors", SafetensorsBytes(tensors));
  return DigestOf(directory);
}

std::string SmallDigest() { return DigestOf(SmallConfig(), SmallTensors()); }

TEST(CheckpointDigestTest, IsStable) {
  // Computed from docs/checkpoints.md by an independent program; it changes only with the format,
  // and then its first line must, too.
  EXPECT_EQ(SmallDigest(), "cce8b14bf37a8cabbd064ca7a2978d841c1ff0cb7ec98838aa18b49f256597f1");
}

TEST(CheckpointDigestTest, DoesNotDependOnShardingOrOrder) {
  std::vector<StoredTensor> tensors = SmallTensors();
  const TempDirectory directory;
  json index = {{"weight_map", json::object()}};
  std::reverse(tensors.begin(), tensors.end());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string shard = "shard-" + std::to_string(i) + ".safetensors";
    directory.Write(shard, SafetensorsBytes({tensors[i]}));
    index["weight_map"][tensors[i].name] = shard;
  }
  directory.Write("model.safetensors.index.json", index.dump());
  directory.Write("config.json", SmallConfig().dump());
  EXPECT_EQ(DigestOf(directory), SmallDigest());
}

TEST(CheckpointDigestTest, DoesNotDependOnOtherTensorsOrSpellingsOfTheConfig) {
  std::vector<StoredTensor> tensors = SmallTensors();
  tensors.push_back({"another.tensor", "F32", {1}, "1234"});
  EXPECT_EQ(DigestOf(SmallConfig(), tensors), SmallDigest());
  json config = SmallConfig();
  config.erase("rope_theta");
  config["rope_parameters"] = {{"rope_theta", 10000}, {"rope_type", "default"}};
  config["transformers_version"] = "5.0";
  EXPECT_EQ(DigestOf(config, SmallTensors()), SmallDigest());
}

TEST(CheckpointDigestTest, SeesTheFirstTheMiddleAndTheLastBytesOfEveryTensor) {
  const std::vector<StoredTensor> whole = SmallTensors();
  const std::string digest = SmallDigest();
  for (size_t i = 0; i < whole.size(); ++i) {
    const size_t size = whole[i].bytes.size();
    for (const size_t at : {size_t{0}, size / 2, size - 1}) {
      std::vector<StoredTensor> tensors = whole;
      tensors[i].bytes[at] = static_cast<char>(tensors[i].bytes[at] ^ 1);
      EXPECT_NE(DigestOf(SmallConfig(), tensors), digest) << whole[i].name << " byte " << at;
    }
  }
}

TEST(CheckpointDigestTest, SeesADTypeOfTheSameBytes) {
  std::vector<StoredTensor> bf16 = SmallTensors();
  for (StoredTensor& tensor : bf16) {
    tensor.dtype = "BF16";
    tensor.bytes.resize(tensor.bytes.size() / 2);
  }
  std::vector<StoredTensor> f16 = bf16;
  for (StoredTensor& tensor : f16) tensor.dtype = "F16";
  EXPECT_NE(DigestOf(SmallConfig(), bf16), DigestOf(SmallConfig(), f16));
}

TEST(CheckpointDigestTest, SeesEveryConstantOfTheConfig) {
  const std::string digest = SmallDigest();
  const std::pair<const char*, json> changes[] = {
      {"num_experts_per_tok", 1}, {"max_position_embeddings", 128}, {"sliding_window", 8},
      {"rms_norm_eps", 1e-6},     {"rope_theta", 10001.0},          {"tie_word_embeddings", true},
  };
  for (const auto& [key, value] : changes) {
    json config = SmallConfig();
    config[key] = value;
    EXPECT_NE(DigestOf(config, SmallTensors()), digest) << key;
  }
}

}  // namespace
}  // namespace tramontane
