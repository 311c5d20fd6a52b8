// Sizes of models whose weights no test has.
#ifndef TRAMONTANE_TESTS_COORDINATOR_CAPACITY_PUBLISHED_MODELS_H_
#define TRAMONTANE_TESTS_COORDINATOR_CAPACITY_PUBLISHED_MODELS_H_

#include "coordinator/capacity/capacity_request.h"
#include "model/config.h"

namespace tramontane {

inline constexpr int64_t kGiB = int64_t{1} << 30;

inline MixtralConfig Mixtral8x7B() {
  MixtralConfig config;
  config.num_layers = 32;
  config.hidden_size = 4'096;
  config.intermediate_size = 14'336;
  config.num_experts = 8;
  config.top_k = 2;
  config.num_heads = 32;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.vocab_size = 32'000;
  config.max_position_embeddings = 32'768;
  config.dtype = DType::kBF16;
  return config;
}

inline MixtralConfig Mixtral8x22B() {
  MixtralConfig config = Mixtral8x7B();
  config.num_layers = 56;
  config.hidden_size = 6'144;
  config.intermediate_size = 16'384;
  config.num_heads = 48;
  config.vocab_size = 32'768;
  config.max_position_embeddings = 65'536;
  return config;
}

// Sixteen users of 8,192 tokens.
inline CapacityRequest RequestFor(const MixtralConfig& model, int64_t memory_bytes) {
  CapacityRequest request;
  request.model = model;
  request.users = 16;
  request.context_tokens = 8'192;
  request.expert_memory_bytes = memory_bytes;
  request.attention_memory_bytes = memory_bytes;
  return request;
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_COORDINATOR_CAPACITY_PUBLISHED_MODELS_H_
