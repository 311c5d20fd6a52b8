#include "tests/model/checkpoint_files.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "model/check.h"

namespace tramontane::testing {
namespace {

uint64_t ElementBytes(const std::string& dtype) { return dtype == "F32" || dtype == "I32" ? 4 : 2; }

StoredTensor MakeTensor(const std::string& name, const std::vector<int64_t>& shape) {
  StoredTensor tensor{name, "F32", shape, ""};
  uint64_t size = ElementBytes(tensor.dtype);
  for (int64_t d : shape) size *= static_cast<uint64_t>(d);
  // A linear congruential generator, so that every tensor and every stretch of it differs.
  uint32_t state = 17;
  for (char c : name) state = state * 31 + static_cast<unsigned char>(c);
  for (uint64_t i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    // Bits 23-30 of a float hold the exponent: kept below 128, every value is finite.
    tensor.bytes.push_back(static_cast<char>((state >> 24) & 0x3f));
  }
  return tensor;
}

}  // namespace

TempDirectory::TempDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "tramontane-XXXXXX").string();
  TRAMONTANE_CHECK(mkdtemp(path.data()) != nullptr);
  path_ = path;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TempDirectory::Write(const std::string& name, std::string_view content) const {
  std::ofstream out(File(name), std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  TRAMONTANE_CHECK(out.good());
}

std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes.append(header).append(data);
}

std::string SafetensorsBytes(const std::vector<StoredTensor>& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const StoredTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return SafetensorsBytes(header.dump(), data);
}

nlohmann::json SmallConfig() {
  return {{"architectures", {"MixtralForCausalLM"}},
          {"model_type", "mixtral"},
          {"num_hidden_layers", 2},
          {"hidden_size", 8},
          {"intermediate_size", 12},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"head_dim", 6},
          {"num_local_experts", 3},
          {"num_experts_per_tok", 2},
          {"vocab_size", 16},
          {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"hidden_act", "silu"},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"tie_word_embeddings", false},
          {"sliding_window", nullptr},
          {"torch_dtype", "float32"}};
}

std::vector<StoredTensor> SmallTensors(bool tied) {
  std::vector<StoredTensor> tensors = {MakeTensor("model.embed_tokens.weight", {16, 8}),
                                       MakeTensor("model.norm.weight", {8})};
  if (!tied) tensors.push_back(MakeTensor("lm_head.weight", {16, 8}));
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    tensors.push_back(MakeTensor(prefix + "input_layernorm.weight", {8}));
    tensors.push_back(MakeTensor(prefix + "post_attention_layernorm.weight", {8}));
    tensors.push_back(MakeTensor(prefix + "self_attn.q_proj.weight", {12, 8}));
    tensors.push_back(MakeTensor(prefix + "self_attn.k_proj.weight", {6, 8}));
    tensors.push_back(MakeTensor(prefix + "self_attn.v_proj.weight", {6, 8}));
    tensors.push_back(MakeTensor(prefix + "self_attn.o_proj.weight", {8, 12}));
    tensors.push_back(MakeTensor(prefix + "block_sparse_moe.gate.weight", {3, 8}));
    for (int expert = 0; expert < 3; ++expert) {
      const std::string block = prefix + "block_sparse_moe.experts." + std::to_string(expert) + ".";
      tensors.push_back(MakeTensor(block + "w1.weight", {12, 8}));
      tensors.push_back(MakeTensor(block + "w2.weight", {8, 12}));
      tensors.push_back(MakeTensor(block + "w3.weight", {12, 8}));
    }
  }
  return tensors;
}

void WriteSmallCheckpoint(const TempDirectory& directory) {
  directory.Write("config.json", SmallConfig().dump());
  directory.Write("model.safetensors", SafetensorsBytes(SmallTensors()));
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  TRAMONTANE_CHECK(in.good());
  return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

}  // namespace tramontane::testing
