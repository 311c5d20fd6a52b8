#include "model/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsBytes;
using testing::SmallConfig;
using testing::SmallTensors;
using testing::StoredTensor;
using testing::TempDirectory;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

StoredTensor& Find(std::vector<StoredTensor>& tensors, const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(),
                       [&](const StoredTensor& tensor) { return tensor.name == name; });
}

// A good checkpoint in a directory of its own, for a test to break.
class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override { testing::WriteSmallCheckpoint(directory_); }

  void WriteTensors(const std::vector<StoredTensor>& tensors) {
    directory_.Write(kSingle, SafetensorsBytes(tensors));
  }

  // Two shards and their index, in place of the one file.
  json WriteShards() {
    const std::vector<StoredTensor> tensors = SmallTensors();
    const auto middle = tensors.begin() + 10;
    const std::vector<StoredTensor> parts[2] = {{tensors.begin(), middle}, {middle, tensors.end()}};
    json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", json::object()}};
    for (int i = 0; i < 2; ++i) {
      const std::string name = "model-0000" + std::to_string(i + 1) + "-of-00002.safetensors";
      directory_.Write(name, SafetensorsBytes(parts[i]));
      for (const StoredTensor& tensor : parts[i]) index["weight_map"][tensor.name] = name;
    }
    std::filesystem::remove(directory_.File(kSingle));
    directory_.Write(kIndex, index.dump());
    return index;
  }

  void ExpectRefused(absl::StatusCode code, const std::vector<std::string>& words) {
    const auto checkpoint = Checkpoint::Open(directory_.path());
    EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
    for (const std::string& word : words) {
      EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(word));
    }
  }

  const TempDirectory directory_;
};

TEST_F(CheckpointTest, OpensOneFile) {
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->directory(), directory_.path());
  EXPECT_EQ((*checkpoint)->Embedding().shape, (std::vector<int64_t>{16, 8}));
  EXPECT_THAT((*checkpoint)->eos_token_ids(), ElementsAre(2));
}

TEST_F(CheckpointTest, OpensShardsByTheirIndex) {
  WriteShards();
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->Expert(1, 2).w2.shape, (std::vector<int64_t>{8, 12}));
}

TEST_F(CheckpointTest, OpensFilesThroughLinksAsAHubCacheHasThem) {
  const TempDirectory snapshot;
  for (const char* name : {"config.json", kSingle}) {
    std::filesystem::create_symlink(directory_.File(name), snapshot.File(name));
  }
  EXPECT_TRUE(Checkpoint::Open(snapshot.path()).ok());
}

TEST_F(CheckpointTest, GenerationConfigGivesEosInThePlaceOfTheConfig) {
  directory_.Write("generation_config.json", R"({"eos_token_id": [2, 7]})");
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT((*checkpoint)->eos_token_ids(), ElementsAre(2, 7));
}

TEST_F(CheckpointTest, TiedEmbeddingsStandInForAnLmHeadEvenIfOneIsStored) {
  json config = SmallConfig();
  config["tie_word_embeddings"] = true;
  directory_.Write("config.json", config.dump());
  for (const bool stored : {true, false}) {
    WriteTensors(SmallTensors(/*tied=*/!stored));
    const auto checkpoint = Checkpoint::Open(directory_.path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ((*checkpoint)->LmHead().bytes, (*checkpoint)->Embedding().bytes);
  }
}

TEST_F(CheckpointTest, OtherTensorsAreLeftAlone) {
  std::vector<StoredTensor> tensors = SmallTensors();
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F64", {1}, "12345678"});
  WriteTensors(tensors);
  EXPECT_TRUE(Checkpoint::Open(directory_.path()).ok());
}

TEST_F(CheckpointTest, ATensorMayHaveItsOwnDType) {
  std::vector<StoredTensor> tensors = SmallTensors();
  Find(tensors, "model.norm.weight") = {"model.norm.weight", "BF16", {8}, std::string(16, 1)};
  WriteTensors(tensors);
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->FinalNorm().dtype, DType::kBF16);
}

TEST_F(CheckpointTest, PagingAdviceKeepsTheBytes) {
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const TensorView tensor = (*checkpoint)->LmHead();
  const float before = ElementAsFloat(tensor, 5);
  (*checkpoint)->WillRead(tensor);
  (*checkpoint)->DropPages(tensor);
  EXPECT_EQ(ElementAsFloat(tensor, 5), before);
}

TEST_F(CheckpointTest, AMissingDirectoryOrConfigIsNotFound) {
  EXPECT_EQ(Checkpoint::Open(directory_.File("elsewhere")).status().code(),
            absl::StatusCode::kNotFound);
  std::filesystem::remove(directory_.File("config.json"));
  ExpectRefused(absl::StatusCode::kNotFound, {directory_.File("config.json")});
}

TEST_F(CheckpointTest, NoWeightsAreNotFoundAndTheFormatsNamed) {
  std::filesystem::remove(directory_.File(kSingle));
  directory_.Write("pytorch_model.bin", "x");
  ExpectRefused(absl::StatusCode::kNotFound, {directory_.path(), kSingle, kIndex, "safetensors"});
}

TEST_F(CheckpointTest, BrokenJsonIsNamed) {
  directory_.Write("config.json", "{");
  ExpectRefused(absl::StatusCode::kInvalidArgument, {directory_.File("config.json")});
}

TEST_F(CheckpointTest, BrokenGenerationConfigIsNamed) {
  directory_.Write("generation_config.json", R"({"eos_token_id": 16})");
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                {directory_.File("generation_config.json"), "vocab_size (16)", "found 16"});
}

TEST_F(CheckpointTest, AnotherArchitectureIsRefused) {
  json config = SmallConfig();
  config["architectures"] = {"LlamaForCausalLM"};
  directory_.Write("config.json", config.dump());
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                {"config.json", "MixtralForCausalLM", "LlamaForCausalLM"});
}

TEST_F(CheckpointTest, ATruncatedFileIsNamed) {
  const std::string whole = SafetensorsBytes(SmallTensors());
  directory_.Write(kSingle, whole.substr(0, whole.size() - 1));
  ExpectRefused(absl::StatusCode::kInvalidArgument, {directory_.File(kSingle), "download"});
}

TEST_F(CheckpointTest, EveryMissingTensorIsNamed) {
  const std::vector<StoredTensor> whole = SmallTensors();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<StoredTensor> tensors = whole;
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    WriteTensors(tensors);
    ExpectRefused(absl::StatusCode::kInvalidArgument,
                  {directory_.File(kSingle), "\"" + whole[i].name + "\"", "no such tensor"});
  }
}

TEST_F(CheckpointTest, EveryWrongShapeIsNamedWithBothShapes) {
  const std::vector<StoredTensor> whole = SmallTensors();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<StoredTensor> tensors = whole;
    tensors[i].shape.push_back(1);
    WriteTensors(tensors);
    ExpectRefused(
        absl::StatusCode::kInvalidArgument,
        {directory_.File(kSingle), "\"" + whole[i].name + "\"", "expected shape [", ", 1]"});
  }
}

TEST_F(CheckpointTest, ATransposedTensorIsRefused) {
  std::vector<StoredTensor> tensors = SmallTensors();
  Find(tensors, "model.layers.1.self_attn.q_proj.weight").shape = {8, 12};
  WriteTensors(tensors);
  ExpectRefused(absl::StatusCode::kInvalidArgument, {"expected shape [12, 8]", "found [8, 12]"});
}

TEST_F(CheckpointTest, ADTypeThatIsNoWeightsIsRefused) {
  std::vector<StoredTensor> tensors = SmallTensors();
  Find(tensors, "model.norm.weight") = {"model.norm.weight", "I32", {8}, std::string(32, 1)};
  WriteTensors(tensors);
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                {kSingle, "\"model.norm.weight\"", "F32, BF16 or F16", "I32"});
}

TEST_F(CheckpointTest, FusedExpertsAreExplained) {
  std::vector<StoredTensor> tensors = SmallTensors(/*tied=*/true);
  tensors.erase(tensors.begin() + 9, tensors.end());
  tensors.push_back({"model.layers.0.mlp.experts.gate_up_proj", "U8", {1}, "x"});
  WriteTensors(tensors);
  ExpectRefused(absl::StatusCode::kInvalidArgument, {"fused experts", "save_pretrained"});
}

TEST_F(CheckpointTest, AMissingShardIsNamedWithATensorItShouldHold) {
  WriteShards();
  std::filesystem::remove(directory_.File("model-00002-of-00002.safetensors"));
  ExpectRefused(absl::StatusCode::kNotFound,
                {directory_.File("model-00002-of-00002.safetensors"), kIndex, "model.layers."});
}

TEST_F(CheckpointTest, ATensorThatIsNotInItsShardIsNamed) {
  json index = WriteShards();
  index["weight_map"]["lm_head.weight"] = "model-00002-of-00002.safetensors";
  directory_.Write(kIndex, index.dump());
  ExpectRefused(absl::StatusCode::kInvalidArgument,
                {kIndex, "\"lm_head.weight\"", "model-00002-of-00002.safetensors"});
}

TEST_F(CheckpointTest, AnIndexMayNotLeaveItsDirectory) {
  for (const char* shard : {"../x.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b"}) {
    json index = WriteShards();
    index["weight_map"]["lm_head.weight"] = shard;
    directory_.Write(kIndex, index.dump());
    ExpectRefused(absl::StatusCode::kInvalidArgument,
                  {kIndex, "\"lm_head.weight\"", "a file in the same directory"});
  }
}

TEST_F(CheckpointTest, ABrokenIndexIsNamed) {
  std::filesystem::remove(directory_.File(kSingle));
  for (const char* index :
       {"", "{", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {"a": 1}})",
        R"({"weight_map": {"a": "x", "a": "y"}})", R"({"weight_map": {"a": "x\u0000y"}})"}) {
    directory_.Write(kIndex, index);
    ExpectRefused(absl::StatusCode::kInvalidArgument, {kIndex, "expected "});
  }
}

TEST_F(CheckpointTest, AnEmptyIndexLacksEveryTensor) {
  std::filesystem::remove(directory_.File(kSingle));
  directory_.Write(kIndex, R"({"weight_map": {}})");
  ExpectRefused(absl::StatusCode::kInvalidArgument, {kIndex, "model.embed_tokens.weight"});
}

}  // namespace
}  // namespace tramontane
