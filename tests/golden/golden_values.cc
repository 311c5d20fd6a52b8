#include "tests/golden/golden_values.h"

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  std::ifstream file(path);
  nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected JSON, found something else"));
  }
  return json;
}

// Copies the entry's elements; the first error stays in `*status`.
template <typename T>
std::vector<T> ReadTensor(const SafetensorsFile& file, const std::string& name,
                          absl::Status* status) {
  const absl::StatusOr<std::span<const std::byte>> bytes = file.RawBytes(name);
  if (!bytes.ok()) {
    status->Update(bytes.status());
    return {};
  }
  std::vector<T> values(bytes->size() / sizeof(T));
  std::memcpy(values.data(), bytes->data(), values.size() * sizeof(T));
  return values;
}

GoldenCase ParseCase(const nlohmann::json& json) {
  GoldenCase golden;
  json.at("prompt_token_ids").get_to(golden.prompt_token_ids);
  json.at("greedy_token_ids").get_to(golden.greedy_token_ids);
  if (const auto nll = json.find("mean_nll_of_prompt"); nll != json.end() && nll->is_number()) {
    golden.mean_nll = nll->get<double>();
  }
  if (const auto logprobs = json.find("prompt_logprobs"); logprobs != json.end()) {
    for (const nlohmann::json& logprob : *logprobs) {
      golden.prompt_logprobs.push_back(logprob.is_null() ? 0.0 : logprob.get<double>());
    }
  }
  return golden;
}

}  // namespace

absl::StatusOr<std::vector<GoldenCase>> ReadGoldenCases(const std::string& folder) {
  const auto json = ReadJson(folder + "/golden.json");
  if (!json.ok()) return json.status();
  const auto file = SafetensorsFile::Open(folder + "/golden.safetensors");
  if (!file.ok()) return file.status();
  std::vector<GoldenCase> cases;
  absl::Status status;
  for (const nlohmann::json& entry : json->at("cases")) {
    GoldenCase golden = ParseCase(entry);
    const std::string prefix = absl::StrCat(entry.at("case").get<int>(), ".");
    golden.embedding = ReadTensor<float>(**file, prefix + "embedding", &status);
    golden.layer_output = ReadTensor<float>(**file, prefix + "layer_output", &status);
    golden.moe_output = ReadTensor<float>(**file, prefix + "moe_output", &status);
    golden.router_logits = ReadTensor<float>(**file, prefix + "router_logits", &status);
    golden.router_experts = ReadTensor<int32_t>(**file, prefix + "router_experts", &status);
    golden.router_weights = ReadTensor<float>(**file, prefix + "router_weights", &status);
    golden.logits = ReadTensor<float>(**file, prefix + "logits", &status);
    cases.push_back(std::move(golden));
  }
  if (!status.ok()) return status;
  return cases;
}

absl::StatusOr<GoldenWindows> ReadGoldenWindows(const std::string& folder) {
  const auto json = ReadJson(folder + "/golden.json");
  if (!json.ok()) return json.status();
  const nlohmann::json& perplexity = json->at("perplexity");
  GoldenWindows golden;
  perplexity.at("windows").get_to(golden.windows);
  perplexity.at("scored_tokens").get_to(golden.scored_tokens);
  perplexity.at("float32").get_to(golden.perplexity_f32);
  perplexity.at("bfloat16").get_to(golden.perplexity_bf16);
  json->at("expert_tokens_of_windows").get_to(golden.expert_tokens);
  return golden;
}

}  // namespace tramontane
