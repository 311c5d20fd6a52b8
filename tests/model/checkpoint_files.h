// Checkpoint directories and safetensors files made by hand, whole and broken.
#ifndef TRAMONTANE_TESTS_MODEL_CHECKPOINT_FILES_H_
#define TRAMONTANE_TESTS_MODEL_CHECKPOINT_FILES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tramontane::testing {

// A new directory under the system's temporary one, removed with its files at the end.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, std::string_view content) const;

 private:
  std::string path_;
};

struct StoredTensor {
  std::string name;
  std::string dtype;  // as safetensors spells it
  std::vector<int64_t> shape;
  std::string bytes;
};

// A safetensors file of this header and these data bytes, right or wrong.
std::string SafetensorsBytes(std::string_view header, std::string_view data);
// A valid one, the tensors' bytes one after the other.
std::string SafetensorsBytes(const std::vector<StoredTensor>& tensors);

// A Mixtral of 2 layers, hidden 8, 2 heads / 1 KV head of 6, ff 12, 3 experts top-2, vocab 16.
nlohmann::json SmallConfig();
// Its tensors in f32, each byte different from its neighbours. With `tied`, no LM head.
std::vector<StoredTensor> SmallTensors(bool tied = false);
// Writes the two as config.json and model.safetensors.
void WriteSmallCheckpoint(const TempDirectory& directory);

std::string ReadWholeFile(const std::string& path);

}  // namespace tramontane::testing

#endif  // TRAMONTANE_TESTS_MODEL_CHECKPOINT_FILES_H_
