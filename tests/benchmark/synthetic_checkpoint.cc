#include "tests/benchmark/synthetic_checkpoint.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/dtype.h"
#include "tests/benchmark/normal_weights.h"

namespace tramontane {
namespace {

constexpr size_t kWriteElements = size_t{1} << 19;  // 1 MiB of bf16 a write
// Of the data's first byte: a page, so that files can share pages. The format asks for 8.
constexpr size_t kHeaderAlignment = 4096;

struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;  // one dimension: a norm, all ones

  int64_t num_elements() const {
    int64_t product = 1;
    for (int64_t size : shape) product *= size;
    return product;
  }
  size_t num_bytes() const { return static_cast<size_t>(num_elements()) * sizeof(BFloat16); }
};

using Shard = std::vector<TensorSpec>;

Shard LayerShard(const MixtralConfig& config, int layer) {
  const int64_t hidden = config.hidden_size;
  const int64_t queries = int64_t{config.num_heads} * config.head_dim;
  const int64_t keys = int64_t{config.num_kv_heads} * config.head_dim;
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  Shard shard = {{prefix + "input_layernorm.weight", {hidden}},
                 {prefix + "self_attn.q_proj.weight", {queries, hidden}},
                 {prefix + "self_attn.k_proj.weight", {keys, hidden}},
                 {prefix + "self_attn.v_proj.weight", {keys, hidden}},
                 {prefix + "self_attn.o_proj.weight", {hidden, queries}},
                 {prefix + "post_attention_layernorm.weight", {hidden}},
                 {prefix + "block_sparse_moe.gate.weight", {config.num_experts, hidden}}};
  for (int expert = 0; expert < config.num_experts; ++expert) {
    const std::string block = absl::StrCat(prefix, "block_sparse_moe.experts.", expert, ".");
    shard.push_back({block + "w1.weight", {config.intermediate_size, hidden}});
    shard.push_back({block + "w2.weight", {hidden, config.intermediate_size}});
    shard.push_back({block + "w3.weight", {config.intermediate_size, hidden}});
  }
  return shard;
}

std::vector<Shard> Shards(const MixtralConfig& config) {
  std::vector<Shard> shards;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    shards.push_back(LayerShard(config, layer));
  }
  Shard ends = {{"model.embed_tokens.weight", {config.vocab_size, config.hidden_size}},
                {"model.norm.weight", {config.hidden_size}}};
  if (!config.tie_word_embeddings) {
    ends.push_back({"lm_head.weight", {config.vocab_size, config.hidden_size}});
  }
  shards.push_back(std::move(ends));
  return shards;
}

std::string ShardName(size_t shard, size_t num_shards) {
  return absl::StrFormat("model-%05d-of-%05d.safetensors", shard + 1, num_shards);
}

std::string ConfigJson(const MixtralConfig& config) {
  return nlohmann::ordered_json({{"architectures", {"MixtralForCausalLM"}},
                                 {"model_type", "mixtral"},
                                 {"hidden_act", "silu"},
                                 {"hidden_size", config.hidden_size},
                                 {"intermediate_size", config.intermediate_size},
                                 {"num_hidden_layers", config.num_layers},
                                 {"num_attention_heads", config.num_heads},
                                 {"num_key_value_heads", config.num_kv_heads},
                                 {"head_dim", config.head_dim},
                                 {"num_local_experts", config.num_experts},
                                 {"num_experts_per_tok", config.top_k},
                                 {"vocab_size", config.vocab_size},
                                 {"max_position_embeddings", config.max_position_embeddings},
                                 {"rms_norm_eps", config.rms_norm_eps},
                                 {"rope_theta", config.rope_theta},
                                 {"sliding_window", nullptr},
                                 {"tie_word_embeddings", config.tie_word_embeddings},
                                 {"torch_dtype", "bfloat16"},
                                 {"bos_token_id", 1},
                                 {"eos_token_id", 2}})
      .dump(2);
}

std::string IndexJson(const std::vector<Shard>& shards) {
  nlohmann::ordered_json weight_map = nlohmann::ordered_json::object();
  size_t total_size = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const TensorSpec& tensor : shards[i]) {
      weight_map[tensor.name] = ShardName(i, shards.size());
      total_size += tensor.num_bytes();
    }
  }
  return nlohmann::ordered_json(
             {{"metadata", {{"total_size", total_size}}}, {"weight_map", weight_map}})
      .dump(2);
}

// The header of a safetensors file: its length (u64, little-endian), then JSON padded with spaces.
std::string SafetensorsHeader(const Shard& shard) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"] = {{"format", "pt"}};
  size_t begin = 0;
  for (const TensorSpec& tensor : shard) {
    header[tensor.name] = {{"dtype", "BF16"},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, begin + tensor.num_bytes()}}};
    begin += tensor.num_bytes();
  }
  std::string json = header.dump();
  std::string length(sizeof(uint64_t), '\0');
  const size_t pages = (length.size() + json.size() + kHeaderAlignment - 1) / kHeaderAlignment;
  json.resize(pages * kHeaderAlignment - length.size(), ' ');
  for (size_t i = 0; i < length.size(); ++i) length[i] = static_cast<char>(json.size() >> (8 * i));
  return length + json;
}

void WriteTensor(const TensorSpec& tensor, uint64_t seed, std::ofstream& file) {
  const int64_t num_columns = tensor.shape.back();
  NormalWeights weights(1.0f / std::sqrt(static_cast<float>(num_columns)), seed);
  std::vector<BFloat16> piece(std::min<size_t>(kWriteElements, tensor.num_elements()),
                              ToBFloat16(1.0f));
  for (size_t left = tensor.num_elements(); left > 0 && file;) {
    const size_t count = std::min(left, piece.size());
    if (tensor.shape.size() > 1) weights.Fill(std::span(piece).first(count));
    file.write(reinterpret_cast<const char*>(piece.data()),
               static_cast<std::streamsize>(count * sizeof(BFloat16)));
    left -= count;
  }
}

absl::Status CannotWrite(const std::string& path) {
  return absl::UnavailableError(
      absl::StrCat(path, ": cannot be written; expected a writable directory with room for it"));
}

absl::Status WriteText(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text << '\n';
  file.close();
  return file ? absl::OkStatus() : CannotWrite(path);
}

absl::Status WriteShard(const Shard& shard, uint64_t seed, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  file << SafetensorsHeader(shard);
  for (size_t i = 0; i < shard.size() && file; ++i) WriteTensor(shard[i], seed + i, file);
  file.close();
  return file ? absl::OkStatus() : CannotWrite(path);
}

// Shards are taken by the next free thread; the first error ends the rest.
absl::Status WriteShards(const std::vector<Shard>& shards, uint64_t seed,
                         const std::string& directory, int num_threads) {
  std::atomic<size_t> next_shard = 0;
  std::mutex mutex;
  absl::Status first_error;  // guarded by mutex
  const auto write = [&] {
    for (size_t i = next_shard++; i < shards.size(); i = next_shard++) {
      // Far enough apart that the tensors of two shards never share a seed.
      const uint64_t shard_seed = (seed << 40) + (uint64_t{i} << 20);
      const absl::Status status = WriteShard(
          shards[i], shard_seed, absl::StrCat(directory, "/", ShardName(i, shards.size())));
      if (!status.ok()) {
        const std::lock_guard<std::mutex> lock(mutex);
        first_error.Update(status);
        next_shard = shards.size();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < num_threads; ++i) threads.emplace_back(write);
  for (std::thread& thread : threads) thread.join();
  return first_error;
}

absl::Status CheckSizes(const MixtralConfig& config, int num_threads) {
  for (int size : {config.num_layers, config.hidden_size, config.intermediate_size,
                   config.num_experts, config.num_heads, config.num_kv_heads, config.head_dim,
                   config.vocab_size, config.max_position_embeddings, num_threads}) {
    if (size <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("every size and the number of threads must be positive; found ", size));
    }
  }
  if (config.num_heads % config.num_kv_heads != 0 || config.head_dim % 2 != 0 || config.top_k < 1 ||
      config.top_k > config.num_experts) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "num_heads (%d) must be a multiple of num_kv_heads (%d), head_dim (%d) even, top_k (%d) "
        "from 1 "
        "to num_experts (%d)",
        config.num_heads, config.num_kv_heads, config.head_dim, config.top_k, config.num_experts));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSyntheticCheckpoint(const MixtralConfig& config, uint64_t seed,
                                      const std::string& directory, int num_threads) {
  if (absl::Status status = CheckSizes(config, num_threads); !status.ok()) return status;
  const std::string config_path = absl::StrCat(directory, "/config.json");
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return CannotWrite(directory);
  if (std::filesystem::exists(config_path, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(config_path, ": there is a checkpoint already; name another directory"));
  }
  const std::vector<Shard> shards = Shards(config);
  absl::Status status = WriteShards(shards, seed, directory, num_threads);
  if (!status.ok()) return status;
  status = WriteText(absl::StrCat(directory, "/model.safetensors.index.json"), IndexJson(shards));
  if (!status.ok()) return status;
  return WriteText(config_path, ConfigJson(config));  // last: what makes it a checkpoint
}

}  // namespace tramontane
