// The safetensors files of a checkpoint directory, and which of them holds which tensor.
#ifndef TRAMONTANE_MODEL_WEIGHT_FILES_H_
#define TRAMONTANE_MODEL_WEIGHT_FILES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/safetensors.h"

namespace tramontane {

struct WeightFiles {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  // The file that should hold a tensor: with an index, what the index says of it.
  std::map<std::string, const SafetensorsFile*, std::less<>> file_of_tensor;
  std::string listed_in;  // the file that lists the tensors, for errors
};

// Maps DIRECTORY/model.safetensors or, where there is none, the shards that
// DIRECTORY/model.safetensors.index.json names (Transformers looks in the same order). NOT_FOUND
// where there is neither, or a shard is missing; INVALID_ARGUMENT for a broken index, one that
// names a file outside the directory, and as SafetensorsFile::Open.
absl::StatusOr<WeightFiles> OpenWeightFiles(const std::string& directory);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_WEIGHT_FILES_H_
