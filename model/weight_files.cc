#include "model/weight_files.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/json_document.h"
#include "model/quote.h"

namespace tramontane {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr uint64_t kMaxIndexBytes = 100'000'000;

// A shard lies beside the index: a name with a directory in it could read any file of the host.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

absl::StatusOr<WeightFiles> OpenSingleFile(const std::string& path) {
  absl::StatusOr<std::unique_ptr<SafetensorsFile>> file = SafetensorsFile::Open(path);
  if (!file.ok()) return file.status();
  WeightFiles weights;
  weights.listed_in = path;
  for (const auto& entry : (*file)->entries()) {
    weights.file_of_tensor.emplace(entry.first, file->get());
  }
  weights.files.push_back(*std::move(file));
  return weights;
}

// The index's map from tensor to shard, its types and names checked.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxIndexBytes);
  if (!text.ok()) return text.status();
  const absl::StatusOr<nlohmann::json> index =
      ParseJsonObject(*text, path, kMaxIndexBytes, DuplicateKeys::kRefused);
  if (!index.ok()) return index.status();
  const auto weight_map = index->find("weight_map");
  if (weight_map == index->end() || !weight_map->is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected an object \"weight_map\", found ",
                     weight_map == index->end() ? "none" : weight_map->type_name(),
                     "; download the file again"));
  }
  std::map<std::string, std::string> shard_of_tensor;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !IsPlainFileName(shard.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": tensor ", Quote(tensor), ": expected the name of a file in the same directory",
          ", found ", Quote(shard.dump()), "; download the file again"));
    }
    shard_of_tensor.emplace(tensor, shard.get<std::string>());
  }
  return shard_of_tensor;
}

absl::StatusOr<WeightFiles> OpenShards(const std::string& directory, const std::string& index) {
  const absl::StatusOr<std::map<std::string, std::string>> shard_of_tensor = ReadIndex(index);
  if (!shard_of_tensor.ok()) return shard_of_tensor.status();
  WeightFiles weights;
  weights.listed_in = index;
  std::map<std::string, const SafetensorsFile*> opened;
  for (const auto& [tensor, shard] : *shard_of_tensor) {
    const SafetensorsFile*& file = opened[shard];
    if (file == nullptr) {
      absl::StatusOr<std::unique_ptr<SafetensorsFile>> shard_file =
          SafetensorsFile::Open(absl::StrCat(directory, "/", shard));
      if (absl::IsNotFound(shard_file.status())) {
        return absl::NotFoundError(absl::StrCat(shard_file.status().message(), "; ", index,
                                                " says that it holds tensor ", Quote(tensor),
                                                ": download the missing shard"));
      }
      if (!shard_file.ok()) return shard_file.status();
      file = shard_file->get();
      weights.files.push_back(*std::move(shard_file));
    }
    weights.file_of_tensor.emplace(tensor, file);
  }
  return weights;
}

}  // namespace

absl::StatusOr<WeightFiles> OpenWeightFiles(const std::string& directory) {
  const std::string single = absl::StrCat(directory, "/", kSingleFile);
  const std::string index = absl::StrCat(directory, "/", kIndexFile);
  absl::StatusOr<WeightFiles> weights = OpenSingleFile(single);
  if (!absl::IsNotFound(weights.status())) return weights;
  if (absl::IsNotFound(OpenFile(index).status())) {
    return absl::NotFoundError(absl::StrCat(
        directory, ": expected ", kSingleFile, " or ", kIndexFile,
        ", found neither; only the safetensors format is read: download these files, or convert "
        "the checkpoint with Transformers' save_pretrained"));
  }
  return OpenShards(directory, index);
}

}  // namespace tramontane
