// Checkpoints of any size with random weights, in Hugging Face's layout: what benchmarks run on.
#ifndef TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_CHECKPOINT_H_
#define TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "model/config.h"

namespace tramontane {

// Writes config.json, one safetensors shard a layer, one more for embedding, final norm and LM
// head, and their index. No tokenizer: such a checkpoint serves token-id prompts.
//
// Weights are bf16. A matrix of n columns is drawn from N(0, 1/n), so that activations stay about
// one whatever the sizes, and the router's logits spread tokens over all experts; norms are ones.
// The same config and seed give the same bytes, whatever the number of threads.
//
// ALREADY_EXISTS where `directory` holds a config.json; INVALID_ARGUMENT for sizes that are not a
// Mixtral's; UNAVAILABLE naming the file where one cannot be written.
absl::Status WriteSyntheticCheckpoint(const MixtralConfig& config, uint64_t seed,
                                      const std::string& directory, int num_threads);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_SYNTHETIC_CHECKPOINT_H_
