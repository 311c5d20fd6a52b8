#include "tests/benchmark/synthetic_experts.h"

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/config.h"
#include "tests/benchmark/or_exit.h"
#include "tests/benchmark/synthetic_checkpoint.h"

namespace tramontane {

std::shared_ptr<const Checkpoint> OpenSyntheticExperts(int hidden_size, int intermediate_size,
                                                       int num_experts) {
  MixtralConfig config;
  config.num_layers = 1;
  config.hidden_size = hidden_size;
  config.intermediate_size = intermediate_size;
  config.num_experts = num_experts;
  config.top_k = 2;
  config.num_heads = 1;
  config.num_kv_heads = 1;
  config.head_dim = 32;
  config.vocab_size = 32;
  config.max_position_embeddings = 32;
  std::string directory =
      absl::StrCat(std::filesystem::temp_directory_path().string(), "/synthetic_experts.XXXXXX");
  if (mkdtemp(directory.data()) == nullptr) ExitUnless(absl::UnavailableError(directory));
  ExitUnless(WriteSyntheticCheckpoint(config, /*seed=*/1, directory, /*num_threads=*/2));
  std::shared_ptr<const Checkpoint> checkpoint = ValueOrExit(Checkpoint::Open(directory));
  std::filesystem::remove_all(directory);
  return checkpoint;
}

}  // namespace tramontane
