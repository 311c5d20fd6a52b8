// synthetic_checkpoint --output=DIR [--hidden_size=2048 …]: see synthetic_checkpoint.h.
#include "proto/serving/abseil_flag_types.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "model/config.h"
#include "tests/benchmark/synthetic_checkpoint.h"

ABSL_FLAG(std::string, output, "", "directory to write, without a config.json in it");
ABSL_FLAG(int, hidden_size, 2048, "");
ABSL_FLAG(int, intermediate_size, 7168, "of one expert");
ABSL_FLAG(int, num_layers, 8, "");
ABSL_FLAG(int, num_heads, 16, "");
ABSL_FLAG(int, num_kv_heads, 4, "divides --num_heads");
ABSL_FLAG(int, head_dim, 0, "even; 0 for hidden_size / num_heads");
ABSL_FLAG(int, vocab_size, 32000, "");
ABSL_FLAG(int, num_experts, 8, "of a layer");
ABSL_FLAG(int, top_k, 2, "experts a token");
ABSL_FLAG(int, max_position_embeddings, 4096, "context in tokens");
ABSL_FLAG(uint64_t, seed, 1, "the same seed and sizes give the same bytes");
ABSL_FLAG(int, num_threads, 0, "0 for as many as there are cores");

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Writes a Mixtral checkpoint of random bf16 weights in Hugging Face's layout.\n"
      "synthetic_checkpoint --output=DIR [--hidden_size=2048 …]");
  absl::ParseCommandLine(argc, argv);
  tramontane::MixtralConfig config;
  config.hidden_size = absl::GetFlag(FLAGS_hidden_size);
  config.intermediate_size = absl::GetFlag(FLAGS_intermediate_size);
  config.num_layers = absl::GetFlag(FLAGS_num_layers);
  config.num_heads = absl::GetFlag(FLAGS_num_heads);
  config.num_kv_heads = absl::GetFlag(FLAGS_num_kv_heads);
  config.head_dim = absl::GetFlag(FLAGS_head_dim);
  if (config.head_dim == 0 && config.num_heads > 0) {
    config.head_dim = config.hidden_size / config.num_heads;
  }
  config.vocab_size = absl::GetFlag(FLAGS_vocab_size);
  config.num_experts = absl::GetFlag(FLAGS_num_experts);
  config.top_k = absl::GetFlag(FLAGS_top_k);
  config.max_position_embeddings = absl::GetFlag(FLAGS_max_position_embeddings);
  int num_threads = absl::GetFlag(FLAGS_num_threads);
  if (num_threads == 0) num_threads = std::max(1u, std::thread::hardware_concurrency());

  const std::string output = absl::GetFlag(FLAGS_output);
  if (output.empty()) {
    std::fprintf(stderr, "error: --output=DIR is missing; see --help\n");
    return 2;
  }
  const absl::Status status =
      tramontane::WriteSyntheticCheckpoint(config, absl::GetFlag(FLAGS_seed), output, num_threads);
  if (!status.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("wrote %s\n", output.c_str());
  return 0;
}
